"""BRCA-M2C: breast cancer, 20x, centroids of three kinds of nuclei (Abousamra et al., ICCV 2021).

Layout::

    train.txt  val.txt                         image names, one a line, without suffix
    images/<name>.png
    labels/<name>_gt_class_coords.txt          one nucleus a row: row, column, class

Rows and columns are whole-numbered pixel indices, so a nucleus lies at the centre of its pixel:
``x = column + 0.5``. The names begin with the TCGA barcode of the patient (12 characters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from nunext_training.datasets.labelled import LabelledImage
from nunext_training.importers.base import Importer
from nunext_training.importers.reading import pseudonym

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.records import Split

MPP = 0.5
"""20x. The images hold no scale."""

CLASS_NAMES = {1: "Lymphocyte", 2: "Tumour or epithelial", 3: "Stromal"}

_LABELS_SUFFIX = "_gt_class_coords.txt"
_SPLIT_FILES: tuple[Split, ...] = ("train", "val", "test")
_BARCODE_LENGTH = len("TCGA-XX-XXXX")


def _recognises(folder: Path) -> bool:
    return (folder / "images").is_dir() and any((folder / "labels").glob(f"*{_LABELS_SUFFIX}"))


def _read(folder: Path, mpp: float | None = None) -> tuple[LabelledImage, ...]:
    lists: list[tuple[Split, Path]] = [
        (split, folder / f"{split}.txt")
        for split in _SPLIT_FILES
        if (folder / f"{split}.txt").is_file()
    ]
    if not lists:
        raise RecordError(
            f"{folder} lists no images; expected train.txt, val.txt or test.txt, a name a line."
        )
    return tuple(
        _read_image(folder, name, split, MPP if mpp is None else mpp)
        for split, path in lists
        for name in path.read_text(encoding="utf-8").split()
    )


def _read_image(folder: Path, name: str, split: Split, mpp: float) -> LabelledImage:
    image, labels = folder / "images" / f"{name}.png", folder / "labels" / f"{name}{_LABELS_SUFFIX}"
    for path in (image, labels):
        if not path.is_file():
            raise RecordError(
                f"{split}.txt names {name!r}, but {path.relative_to(folder)} is missing."
            )
    points, categories = _read_labels(labels)
    return LabelledImage(
        name=name,
        path=image,
        mpp=mpp,
        mpp_source="user",
        points_xy=np.array(points, dtype=np.float64).reshape(-1, 2),
        categories=tuple(categories),
        split=split,
        patient=pseudonym(name[:_BARCODE_LENGTH]),
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


BRCA_M2C = Importer(
    name="brca-m2c",
    title="BRCA-M2C, breast cancer at 20x, 3 kinds (Abousamra et al., ICCV 2021)",
    categories=default_categories(CLASS_NAMES.values()),
    recognises=_recognises,
    read=_read,
)
