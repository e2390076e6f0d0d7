"""Published data sets, read from where the user keeps them; their licences stay with the user.

An importer is a module-level `Importer` value listed in `IMPORTERS`, which is all that the command
line, the readers of training data and the documentation ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nunext_training.data.importers.folder import FOLDER
from nunext_training.data.importers.sets.brca_m2c import BRCA_M2C
from nunext_training.data.importers.sets.conic import CONIC
from nunext_training.data.importers.sets.cryonuseg import CRYONUSEG
from nunext_training.data.importers.sets.dsb2018 import DSB2018
from nunext_training.data.importers.sets.endonuke import ENDONUKE
from nunext_training.data.importers.sets.lizard import LIZARD
from nunext_training.data.importers.sets.mat_folders import CONSEP, CPM15, CPM17, GLYSAC, KUMAR
from nunext_training.data.importers.sets.midog import MIDOG
from nunext_training.data.importers.sets.monusac import MONUSAC
from nunext_training.data.importers.sets.monuseg import MONUSEG
from nunext_training.data.importers.sets.nucls import NUCLS
from nunext_training.data.importers.sets.nuinsseg import NUINSSEG
from nunext_training.data.importers.sets.pannuke.arrays import PANNUKE
from nunext_training.data.importers.sets.puma import PUMA
from nunext_training.data.importers.sets.tnbc import TNBC

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Importer

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
        ENDONUKE,
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
