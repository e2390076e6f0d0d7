"""BRCA-M2C: breast cancer, 20x, centroids of three kinds of nuclei (Abousamra et al., ICCV 2021).

Layout::

    brca_ds_train.txt  ..._val.txt  ..._test.txt   or train.txt and so on: images, one a line
    images/<name>.png
    labels/<name>_gt_class_coords.txt              one nucleus a row: row, column, class
    masks/<name>.png                               if somebody drew them: or .tif, .npy, .mat

Rows and columns are whole-numbered pixel indices, so a nucleus lies at the centre of its pixel:
``x = column + 0.5``. The names begin with the TCGA barcode of the patient (12 characters).

The publishers drew no outlines. Who has them made, as label images (0 for background) or
``inst_map`` in a MATLAB file, keeps them in ``masks``: each nucleus takes the outline that its
point lies in, the first one if several do; a nucleus without keeps its point alone, and outlines
without a point are counted and left out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import check_fits, pseudonym, read_label_image, read_mat
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.shapes.masks import Mask
    from nunext_training.data.importers.base import Member

MPP = 0.5
"""20x. The images hold no scale."""

CLASS_NAMES = {1: "Lymphocyte", 2: "Tumour or epithelial", 3: "Stromal"}

_LABELS_SUFFIX = "_gt_class_coords.txt"
_SPLIT_FILES: tuple[Split, ...] = ("train", "val", "test")
_PREFIXES = ("", "brca_ds_")
"""Of the lists: as shortened ones are named, and as the publishers have them."""
_MASK_SUFFIXES = (".png", ".tif", ".npy", ".mat")
_BARCODE_LENGTH = len("TCGA-XX-XXXX")


def _recognises(folder: Path) -> bool:
    return (folder / "images").is_dir() and any((folder / "labels").glob(f"*{_LABELS_SUFFIX}"))


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    lists: list[tuple[Split, Path]] = [
        (split, path)
        for split in _SPLIT_FILES
        for prefix in _PREFIXES
        if (path := folder / f"{prefix}{split}.txt").is_file()
    ]
    if not lists:
        raise RecordError(
            f"{folder} lists no images; expected train.txt, val.txt or test.txt (or "
            "brca_ds_train.txt and so on), a name a line."
        )
    return [
        partial(_read_image, folder, name.removesuffix(".png"), split, path.name, mpp)
        for split, path in lists
        for name in path.read_text(encoding="utf-8").split()
    ]


def _read_image(
    folder: Path, name: str, split: Split, listed_in: str, mpp: float | None
) -> LabelledImage:
    image, labels = folder / "images" / f"{name}.png", folder / "labels" / f"{name}{_LABELS_SUFFIX}"
    for path in (image, labels):
        if not path.is_file():
            raise RecordError(
                f"{listed_in} names {name!r}, but {path.relative_to(folder)} is missing."
            )
    points, categories = _read_labels(labels)
    masks, notes = _masks_of_points(folder, name, image, points)
    return LabelledImage(
        name=name,
        path=image,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=np.array(points, dtype=np.float64).reshape(-1, 2),
        categories=tuple(categories),
        split=split,
        patient=pseudonym(name[:_BARCODE_LENGTH]),
        masks=masks,
        notes=notes,
    )


def _read_labels(path: Path) -> tuple[list[tuple[float, float]], list[str]]:
    """Centroids (x, y) at pixel centres, and their categories."""
    points: list[tuple[float, float]] = []
    categories: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row, column, kind = (int(v) for v in line.split())
            categories.append(CLASS_NAMES[kind])
        except (ValueError, KeyError) as error:
            raise RecordError(
                f"{path.name} line {number} is {line.strip()!r}; expected row, column and a class "
                f"of {', '.join(map(str, CLASS_NAMES))}, as whole numbers."
            ) from error
        points.append((column + 0.5, row + 0.5))
    return points, categories


def _masks_of_points(
    folder: Path, name: str, image: Path, points: list[tuple[float, float]]
) -> tuple[tuple[Mask | None, ...], tuple[str, ...]]:
    """The outline that each point lies in, and what was left; nothing where there are no masks."""
    paths = (folder / "masks" / f"{name}{suffix}" for suffix in _MASK_SUFFIXES)
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        return (), ()
    labels = read_mat(path, "inst_map")[0] if path.suffix == ".mat" else read_label_image(path)
    check_fits(labels, open_tile(image), f"masks/{path.name}")
    drawn = masks_of(labels)
    masks = []
    for x, y in points:
        inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
        masks.append(drawn.pop(int(labels[int(y), int(x)]), None) if inside else None)
    without = sum(mask is None for mask in masks)
    notes = [f"masks/{path.name}: {without} nuclei have no outline."] if without else []
    if drawn:
        notes.append(f"masks/{path.name}: left out {len(drawn)} outlines without a nucleus.")
    return tuple(masks), tuple(notes)


BRCA_M2C = Importer(
    name="brca-m2c",
    title="BRCA-M2C, breast cancer at 20x, 3 kinds (Abousamra et al., ICCV 2021)",
    categories=default_categories(CLASS_NAMES.values()),
    recognises=_recognises,
    members=_members,
    licence="BSD-3-Clause",
    link="https://github.com/TopoXLab/Dataset-BRCA-M2C",
)
