"""CryoNuSeg: frozen sections of 10 organs at 40x (Mahbod et al., Comput. Biol. Med. 2021).

Layout::

    tissue images/Human_<Organ>_<number>.tif
    Annotator 1 (biologist)/label masks modify/<same name>.tif         instance labels

There are annotations by others in folders of their own (one archive holds them in two folders of
one name); the first of `ANNOTATIONS` that is there is read. Patients are not known: each image
stands for one. There is no split: all is for tests.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.reading import (
    check_fits,
    nuclei_of_labels,
    pseudonym,
    read_label_image,
)
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Member

MPP = 0.25

IMAGES = "tissue images"

_ANNOTATORS = (
    "Annotator 1 (biologist)",
    "Annotator 1 (biologist second round of manual marks up)",
    "Annotator 2 (bioinformatician)",
)
_KINDS = ("label masks modify", "label masks")

ANNOTATIONS = tuple(
    f"{annotator}/{nested}{kind}"
    for annotator in _ANNOTATORS
    for kind in _KINDS
    for nested in ("", f"{annotator}/")
)
"""Folders of labels; the first that is there counts."""


def _labels_folder(folder: Path) -> Path | None:
    return next((folder / a for a in ANNOTATIONS if any((folder / a).glob("*.tif"))), None)


def _recognises(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() and _labels_folder(folder) is not None


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    labels = _labels_folder(folder)
    paths = sorted((folder / IMAGES).glob("*.tif"))
    if labels is None or not paths:
        raise RecordError(
            f"{folder} has not the folders of CryoNuSeg; expected '{IMAGES}' and "
            f"'{ANNOTATIONS[0]}' with .tif files."
        )
    return [partial(_read_image, path, labels / path.name, mpp) for path in paths]


def _read_image(path: Path, labels: Path, mpp: float | None) -> LabelledImage:
    values = read_label_image(labels)
    check_fits(values, open_tile(path), f"{labels.parent.name}/{labels.name}")
    nuclei = nuclei_of_labels(values)
    organ = re.match(r"Human_([A-Za-z]+)_\d+$", path.stem)
    return LabelledImage(
        name=path.stem,
        path=path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split="test",
        patient=pseudonym(f"cryonuseg/{path.stem}"),
        masks=nuclei.masks,
        tissue=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", organ[1]) if organ else None,
    )


CRYONUSEG = Importer(
    name="cryonuseg",
    title="CryoNuSeg, frozen sections of 10 organs at 40x, no kinds (Mahbod et al., 2021)",
    categories=NO_CATEGORIES,
    recognises=_recognises,
    members=_members,
    licence="see the link",
    link="https://github.com/masih4/CryoNuSeg",
    not_carried="the annotations of the others",
)
