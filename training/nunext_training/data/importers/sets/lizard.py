"""Lizard: colon at 20x, 6 kinds (Graham et al., ICCVW 2021).

Layout, as the archives unpack, all below one folder::

    Lizard_Images1/<name>.png   Lizard_Images2/<name>.png
    Lizard_Labels/info.csv                       Filename, Source, Split
    Lizard_Labels/Labels/<name>.mat              inst_map, id, class, bbox, centroid

``inst_map`` is an image of whole numbers, 0 for background; ``class`` has the kind of the instance
that ``id`` has in the same row. Centroids are those of the instances. Split 1 trains, 2 validates
and 3 tests, as is usual with these folds. Patients are not known: each image stands for one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import read_rows
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import (
    LabelledNuclei,
    check_fits,
    nuclei_of_masks,
    pseudonym,
    read_mat,
)
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.base import Member

MPP = 0.5
KINDS = {
    1: "Neutrophil",
    2: "Epithelial",
    3: "Lymphocyte",
    4: "Plasma cell",
    5: "Eosinophil",
    6: "Connective",
}
TISSUE = "Colon"
SPLITS: dict[str, Split] = {"1": "train", "2": "val", "3": "test"}

_INFO = ("info.csv", "*/info.csv", "*/*/info.csv")
_IMAGES = ("*.png", "*/*.png", "*/*/*.png")


def _info(folder: Path) -> Path | None:
    """The list of the images, where labels lie beside it."""
    paths = sorted(path for depth in _INFO for path in folder.glob(depth))
    return next((path for path in paths if any((path.parent / "Labels").glob("*.mat"))), None)


def _recognises(folder: Path) -> bool:
    return _info(folder) is not None


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    info = _info(folder)
    if info is None:
        raise RecordError(
            f"{folder} has no labels of Lizard; expected info.csv with Labels/*.mat beside it."
        )
    images = {
        path.stem: path
        for depth in _IMAGES
        for path in sorted(folder.glob(depth))
        if "overlay" not in path.parent.name.lower()
    }
    rows = {row.get("Filename", ""): row for row in read_rows(info)}
    labels = {path.stem: path for path in sorted((info.parent / "Labels").glob("*.mat"))}
    names = sorted({*labels, *rows} - {""})
    return [
        partial(_read_image, name, images.get(name), labels.get(name), rows.get(name), mpp)
        for name in names
    ]


def _read_image(
    name: str,
    image: Path | None,
    labels: Path | None,
    row: dict[str, str] | None,
    mpp: float | None,
) -> LabelledImage:
    if row is None or row.get("Split", "") not in SPLITS:
        raise RecordError(f"info.csv does not say the split of {name}; expected 1, 2 or 3.")
    if image is None or labels is None:
        missing = f"{name}.png" if image is None else f"Labels/{name}.mat"
        raise RecordError(f"{missing} is missing. Unpack the archives again.")
    nuclei, notes = _read_nuclei(labels, image)
    return LabelledImage(
        name=name,
        path=image,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=SPLITS[row["Split"]],
        patient=pseudonym(f"lizard/{name}"),
        masks=nuclei.masks,
        tissue=TISSUE,
        notes=notes,
        unsorted=nuclei.unsorted,
    )


def _read_nuclei(path: Path, image: Path) -> tuple[LabelledNuclei, tuple[str, ...]]:
    inst_map, ids, classes = read_mat(path, "inst_map", "id", "class")
    check_fits(inst_map, open_tile(image), path.name)
    if ids.size != classes.size:
        raise RecordError(f"{path.name} has {ids.size} ids and {classes.size} classes.")
    kinds = dict(zip(np.ravel(ids).tolist(), np.ravel(classes).tolist(), strict=True))
    unknown = sorted(set(kinds.values()) - KINDS.keys() - {0})
    if unknown:
        raise RecordError(
            f"{path.name} has the class {unknown[0]}; expected {', '.join(map(str, KINDS))}."
        )
    masks = masks_of(inst_map)
    categories = [KINDS.get(kinds.get(label, 0), UNCATEGORISED) for label in masks]
    nuclei = nuclei_of_masks(
        masks.values(), categories, ["no class" for c in categories if c == UNCATEGORISED]
    )
    gone = len(kinds.keys() - masks.keys())
    return nuclei, (f"{path.name}: left out {gone} ids without pixels.",) if gone else ()


LIZARD = Importer(
    name="lizard",
    title="Lizard, colon at 20x, 6 kinds (Graham et al., ICCVW 2021)",
    categories=default_categories(KINDS.values()),
    recognises=_recognises,
    members=_members,
    licence="CC BY-NC-SA 4.0",
    link="https://warwick.ac.uk/lizard-dataset",
    not_carried="boxes and centroids of the files: they are those of the masks",
)
