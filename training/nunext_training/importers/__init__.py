"""Published data sets, read from where the user keeps them; their licences stay with the user.

An importer is a module-level `Importer` value listed in `IMPORTERS`, which is all that the command
line, the readers of training data and the documentation ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nunext_training.importers.brca_m2c import BRCA_M2C
from nunext_training.importers.conic import CONIC
from nunext_training.importers.cryonuseg import CRYONUSEG
from nunext_training.importers.dsb2018 import DSB2018
from nunext_training.importers.folder import FOLDER
from nunext_training.importers.lizard import LIZARD
from nunext_training.importers.mat_folders import CONSEP, CPM15, CPM17, GLYSAC, KUMAR
from nunext_training.importers.midog import MIDOG
from nunext_training.importers.monusac import MONUSAC
from nunext_training.importers.monuseg import MONUSEG
from nunext_training.importers.nucls import NUCLS
from nunext_training.importers.nuinsseg import NUINSSEG
from nunext_training.importers.pannuke import PANNUKE
from nunext_training.importers.puma import PUMA
from nunext_training.importers.tnbc import TNBC

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.importers.base import Importer

IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        BRCA_M2C,
        PANNUKE,
        CONSEP,
        GLYSAC,
        KUMAR,
        CPM17,
        CPM15,
        TNBC,
        CRYONUSEG,
        MONUSAC,
        MONUSEG,
        LIZARD,
        CONIC,
        NUINSSEG,
        PUMA,
        MIDOG,
        NUCLS,
        FOLDER,
        DSB2018,
    )
}
"""By the name that the command line knows; the first that recognises a folder reads it, so that a
set in the layout of `FOLDER` is read as its own only where it is named."""


def importer_for(folder: Path) -> Importer | None:
    """The importer whose layout a folder has; None where none fits."""
    return next((i for i in IMPORTERS.values() if i.recognises(folder)), None)
