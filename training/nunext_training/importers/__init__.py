"""Published data sets, read from where the user keeps them; their licences stay with the user.

An importer is a module-level `Importer` value listed in `IMPORTERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nunext_training.importers.brca_m2c import BRCA_M2C

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.importers.base import Importer

IMPORTERS: dict[str, Importer] = {importer.name: importer for importer in (BRCA_M2C,)}
"""By the name that the command line knows."""


def importer_for(folder: Path) -> Importer | None:
    """The importer whose layout a folder has; None where none fits."""
    return next((i for i in IMPORTERS.values() if i.recognises(folder)), None)
