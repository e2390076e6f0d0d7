"""What importers share: label files, nuclei of label images, pseudonyms."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.io.matlab import MatReadError

from napari_nunext.core.errors import RecordError
from napari_nunext.core.masks import masks_of
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.images.label_images import check_fits as check_fits
from napari_nunext.images.label_images import read_label_image as read_label_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.masks import Mask

NO_CATEGORIES = default_categories((UNCATEGORISED,))
"""Of a data set that tells no kinds of nuclei apart."""

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

_MAT_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, IndexError, KeyError),
    *(NotImplementedError, MatReadError, zlib.error),
)
"""What SciPy raises at files that are no MATLAB files, of version 7.3, cut off or damaged."""

_TCGA_BARCODE = re.compile(r"TCGA-\w{2}-\w{4}")


@dataclass(frozen=True, eq=False, slots=True)
class LabelledNuclei:
    """The nuclei of one image, in a fixed order."""

    points_xy: PointsXY
    """Shape (N, 2): centroids of the masks, corner origin."""
    categories: tuple[str, ...]
    masks: tuple[Mask, ...]


def nuclei_of_masks(masks: Iterable[Mask], categories: Iterable[str]) -> LabelledNuclei:
    """Nuclei at the centroids of their masks; none of the masks is empty."""
    masks = tuple(masks)
    points = np.array([m.centroid_xy for m in masks], dtype=np.float64).reshape(-1, 2)
    return LabelledNuclei(points, tuple(categories), masks)


def nuclei_of_labels(labels: NDArray[Any]) -> LabelledNuclei:
    """Nuclei of a label image of shape (H, W), in the order of their labels, of one category."""
    masks = masks_of(labels)
    return nuclei_of_masks(masks.values(), [UNCATEGORISED] * len(masks))


def nuclei_of_maps(
    labels: NDArray[Any], kinds: NDArray[Any], names: Mapping[int, str], what: str
) -> LabelledNuclei:
    """Nuclei of a label image and an image of their kinds, both of shape (H, W).

    A nucleus is of the kind that most of its pixels have (ties: the smaller number); pixels of kind
    0 do not count.

    Raises
    ------
    RecordError
        If the shapes differ, a nucleus has no kind, or one that `names` does not know; `what` names
        the file.
    """
    if kinds.shape != labels.shape:
        raise RecordError(
            f"{what}: the image of instances is {labels.shape}, that of their kinds "
            f"{kinds.shape}; expected one shape."
        )
    masks = masks_of(labels)
    categories = []
    for label, mask in masks.items():
        crop = np.s_[
            mask.y0_px : mask.y0_px + mask.height_px, mask.x0_px : mask.x0_px + mask.width_px
        ]
        of_pixels = kinds[crop][mask.to_array()]
        counts = np.bincount(of_pixels[of_pixels > 0].astype(np.int64))
        kind = int(counts.argmax()) if counts.size else 0
        if kind not in names:
            raise RecordError(
                f"{what}: instance {label} is of kind {kind}; expected one of "
                f"{', '.join(map(str, names))}."
            )
        categories.append(names[kind])
    return nuclei_of_masks(masks.values(), categories)


def read_mat(path: Path, *names: str) -> tuple[NDArray[Any], ...]:
    """Read arrays of a MATLAB file (version 5) by name.

    Raises
    ------
    RecordError
        If the file is no such file, or an array is missing.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=names)
    except _MAT_ERRORS as error:
        raise RecordError(f"{path.name} cannot be read as a MATLAB 5 file ({error}).") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise RecordError(f"{path.name} has no {', '.join(missing)}; expected {', '.join(names)}.")
    return tuple(whole_numbers(found[name], f"{path.name}, {name}") for name in names)


def whole_numbers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """The same values as integers: MATLAB and old NumPy files keep labels as floats."""
    if values.dtype.kind in "biu":
        return values
    if values.dtype.kind != "f" or not np.array_equal(values, np.rint(values)):
        raise RecordError(f"{what} holds {values.dtype} values that are not whole numbers.")
    return values.astype(np.int64)


def image_beside(folder: Path, stem: str, for_what: str) -> Path:
    """The image of a stem in a folder.

    Raises
    ------
    RecordError
        If there is none.
    """
    for suffix in IMAGE_SUFFIXES:
        for path in (folder / f"{stem}{suffix}", folder / f"{stem}{suffix.upper()}"):
            if path.is_file():
                return path
    raise RecordError(
        f"{for_what} has no image: expected {stem}.png, .tif or .jpg in {folder.name}."
    )


def pseudonym(key: str) -> str:
    """What stands for a patient in an export: a hash that cannot be read back."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def patient_of(name: str, otherwise: str) -> str:
    """Pseudonym of the patient whose TCGA barcode a name holds; else that of `otherwise`."""
    barcode = _TCGA_BARCODE.search(name)
    return pseudonym(barcode[0] if barcode else otherwise)
