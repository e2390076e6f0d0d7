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
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.images.formats import formats, in_a_row
from napari_nunext.images.nuclei.label_images import check_fits as check_fits
from napari_nunext.images.nuclei.label_images import read_label_image as read_label_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images import Tile


_MAT_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, IndexError, KeyError),
    *(NotImplementedError, MatReadError, zlib.error),
)
"""What SciPy raises at files that are no MATLAB files, of version 7.3, cut off or damaged."""

ONE_IN = 5
"""Of so many patients one validates, where nobody says the split."""

_TCGA_BARCODE = re.compile(r"TCGA-\w{2}-\w{4}")


@dataclass(frozen=True, eq=False, slots=True)
class LabelledNuclei:
    """The nuclei of one image, in a fixed order."""

    points_xy: PointsXY
    """Shape (N, 2): centroids of the masks, corner origin."""
    categories: tuple[str, ...]
    masks: tuple[Mask, ...]
    unsorted: tuple[str, ...] = ()
    """As `LabelledImage.unsorted`."""


@dataclass(frozen=True, eq=False, slots=True)
class PointedNuclei:
    """The nuclei of one image, of which some have no outline."""

    points_xy: PointsXY
    """Shape (N, 2), corner origin."""
    categories: tuple[str, ...]
    masks: tuple[Mask | None, ...]


def nuclei_of_masks(
    masks: Iterable[Mask], categories: Iterable[str], unsorted: Iterable[str] = ()
) -> LabelledNuclei:
    """Nuclei at the centroids of their masks; none of the masks is empty."""
    masks = tuple(masks)
    points = np.array([m.centroid_xy for m in masks], dtype=np.float64).reshape(-1, 2)
    return LabelledNuclei(points, tuple(categories), masks, tuple(unsorted))


def nuclei_of_labels(labels: NDArray[Any]) -> LabelledNuclei:
    """Nuclei of a label image of shape (H, W), in the order of their labels, of one category."""
    masks = masks_of(labels)
    return nuclei_of_masks(masks.values(), [UNCATEGORISED] * len(masks))


def nuclei_of_maps(
    labels: NDArray[Any], kinds: NDArray[Any], names: Mapping[int, str], what: str
) -> LabelledNuclei:
    """Nuclei of a label image and an image of their kinds, both of shape (H, W).

    A nucleus is of the kind that most of its pixels have (ties: the smaller number); pixels of kind
    0 do not count, and a nucleus of these alone has no category.

    Raises
    ------
    RecordError
        If the shapes differ, or a nucleus has a kind that `names` does not know; `what` names the
        file.
    """
    if kinds.shape != labels.shape:
        raise RecordError(
            f"{what}: the image of instances is {labels.shape}, that of their kinds "
            f"{kinds.shape}; expected one shape."
        )
    masks = masks_of(labels)
    categories, unsorted = [], []
    for label, mask in masks.items():
        crop = np.s_[
            mask.y0_px : mask.y0_px + mask.height_px, mask.x0_px : mask.x0_px + mask.width_px
        ]
        of_pixels = kinds[crop][mask.to_array()]
        counts = np.bincount(of_pixels[of_pixels > 0].astype(np.int64))
        if not counts.size:
            categories.append(UNCATEGORISED)
            unsorted.append("no kind")
            continue
        kind = int(counts.argmax())
        if kind not in names:
            raise RecordError(
                f"{what}: instance {label} is of kind {kind}; expected one of "
                f"{', '.join(map(str, names))}."
            )
        categories.append(names[kind])
    return nuclei_of_masks(masks.values(), categories, unsorted)


def read_mat(path: Path, *names: str, perhaps: Sequence[str] = ()) -> tuple[NDArray[Any], ...]:
    """Read arrays of a MATLAB file (version 5) by name.

    Those that may be missing come last, where they are there.

    Raises
    ------
    RecordError
        If the file is no such file, or an array is missing.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=[*names, *perhaps])
    except _MAT_ERRORS as error:
        raise RecordError(f"{path.name} cannot be read as a MATLAB 5 file ({error}).") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise RecordError(f"{path.name} has no {', '.join(missing)}; expected {', '.join(names)}.")
    there = (*names, *(name for name in perhaps if name in found))
    return tuple(whole_numbers(found[name], f"{path.name}, {name}") for name in there)


def whole_numbers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """The same values as integers: MATLAB and old NumPy files keep labels as floats."""
    if values.dtype.kind in "biu":
        return values
    if values.dtype.kind != "f" or not np.array_equal(values, np.rint(values)):
        raise RecordError(f"{what} holds {values.dtype} values that are not whole numbers.")
    return values.astype(np.int64)


def image_beside(folder: Path, stem: str, for_what: str, *further: str) -> Path:
    """The image of a stem in a folder, lossless before others; if there is none, a further suffix.

    Raises
    ------
    RecordError
        If there is none.
    """
    known = sorted(formats(), key=lambda each: not each.is_lossless)
    for suffix in (*(suffix for each in known for suffix in each.suffixes), *further):
        for path in (folder / f"{stem}{suffix}", folder / f"{stem}{suffix.upper()}"):
            if path.is_file():
                return path
    raise RecordError(
        f"{for_what} has no image: expected {stem}{in_a_row(each.suffixes[0] for each in known)} "
        f"in {folder.name}."
    )


def nuclei_in_image(
    points_xy: Sequence[tuple[float, float]],
    masks: Sequence[Mask | None],
    categories: Sequence[str],
    image: Tile,
) -> tuple[PointedNuclei, int]:
    """Nuclei of outlines that may hang over an image, and how many lie beyond it.

    A mask is cut at the image's edge, and its nucleus is at the centroid of what is left; one
    without a mask counts by its point.
    """
    extent = Box.of_image(image.width_px, image.height_px)
    kept: list[tuple[tuple[float, float], Mask | None, str]] = []
    for (x, y), mask, category in zip(points_xy, masks, categories, strict=True):
        if mask is None:
            if extent.contains(np.array([[x, y]]))[0]:
                kept.append(((x, y), None, category))
            continue
        cut = mask.clipped_to(image.width_px, image.height_px)
        if cut.area_px:
            centre_x, centre_y = cut.centroid_xy
            kept.append(((float(centre_x), float(centre_y)), cut, category))
    points = np.array([point for point, _, _ in kept], dtype=np.float64).reshape(-1, 2)
    nuclei = PointedNuclei(points, tuple(c for _, _, c in kept), tuple(m for _, m, _ in kept))
    return nuclei, len(points_xy) - len(kept)


def dealt(patient: str) -> Split:
    """Side of a patient's pseudonym where nobody says it: one in `ONE_IN` validates."""
    return "val" if int(patient, 16) % ONE_IN == 0 else "train"


def pseudonym(key: str) -> str:
    """What stands for a patient in an export: a hash that cannot be read back."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def patient_of(name: str, otherwise: str) -> str:
    """Pseudonym of the patient whose TCGA barcode a name holds; else that of `otherwise`."""
    barcode = _TCGA_BARCODE.search(name)
    return pseudonym(barcode[0] if barcode else otherwise)
