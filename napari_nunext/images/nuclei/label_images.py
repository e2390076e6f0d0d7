"""Label images: one whole number for each nucleus, 0 for what is none; as files of any tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.images.picture import ORIENTATION_NOTE, check_size, oriented, quiet_readers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images.tile import Tile

SUFFIXES = (".png", ".tif", ".tiff", ".npy")
"""Of the files that are read, in lower case."""
CELLPOSE_PROJECT = "_seg.npy"
CELLPOSE_MASKS = ("_cp_masks", "_masks")
"""What Cellpose adds to the image's name."""


@dataclass(frozen=True, eq=False, slots=True)
class LabelImage:
    """The nuclei of a label image, as its image is shown."""

    masks: tuple[Mask, ...]
    """In the order of their labels; none is empty."""
    size_px: tuple[int, int]
    """Width and height of what was read, after it was turned."""
    notes: tuple[str, ...]
    """How it was read, where that is not plain: a phrase for each."""


def read_labels(path: Path, image: Tile | None = None) -> LabelImage:
    """Read the nuclei of a label image file.

    Labels of an image that EXIF turns are turned with it: others draw on its stored pixels. A
    binary mask is split into its pieces.

    Parameters
    ----------
    path : Path
        PNG, TIFF or NPY.
    image : Tile, optional
        The image that the labels are of, where it is known.

    Raises
    ------
    RecordError
        If the file cannot be read, holds no labels, or is of another size than its image.
    """
    labels, turned = read_label_image(path), None
    if image is not None:
        labels, turned = turned_with(labels, image)
        check_fits(labels, image, path.name)
    labels, split = split_binary(labels)
    height_px, width_px = labels.shape
    notes = tuple(note for note in (turned, split) if note)
    return LabelImage(tuple(masks_of(labels).values()), (width_px, height_px), notes)


def read_label_image(path: Path) -> NDArray[Any]:
    """Read a label image (H, W) from PNG, TIFF or NPY: 0 is background.

    Raises
    ------
    RecordError
        If the file cannot be read or holds colours or fractions.
    """
    if path.name.endswith(CELLPOSE_PROJECT):
        raise RecordError(
            f"{path.name} is Cellpose's own file, which only unsafe unpickling opens. Save the "
            "masks as PNG or TIFF (in Cellpose: File, Save masks) and take that file."
        )
    try:
        with quiet_readers():
            labels = np.squeeze(_decoded(path))
    except Exception as error:  # decoders raise anything at broken files
        raise RecordError(f"{path.name} cannot be read as a label image ({error}).") from error
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "biu":
        raise RecordError(
            f"{path.name} is {labels.dtype} of shape {labels.shape}; expected a label image (H, W) "
            "of whole numbers, 0 for background and one number for each nucleus."
        )
    return labels


def _decoded(path: Path) -> NDArray[Any]:
    """All samples of a file, whose size was looked at before memory is taken."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        width_px = (1, *stored.shape)[-1]
        check_size(path, width_px, stored.size // max(width_px, 1), stored.itemsize)
        return np.array(stored)
    if suffix in (".tif", ".tiff"):
        from napari_nunext.images.tiff import read_samples

        return read_samples(path)
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as image:
        check_size(path, *image.size, 4)
        return np.asarray(image)


def split_binary(labels: NDArray[Any]) -> tuple[NDArray[Any], str | None]:
    """Number the pieces of a binary mask (H, W), and say so; other label images stay.

    A binary mask has one label beside 0, and more than one piece.
    """
    from scipy import ndimage

    if labels.size == 0 or len(np.unique(labels[labels != 0])) != 1:
        return labels, None
    pieces, n = ndimage.label(labels, structure=np.ones((3, 3)))
    if n < 2:
        return labels, None
    return pieces, f"a mask of one label; its {n} separate pieces are read as {n} nuclei"


def turned_with(labels: NDArray[Any], image: Tile) -> tuple[NDArray[Any], str | None]:
    """Labels (H, W) as their image is shown, and a word on that; those of another size stay."""
    shown = (image.height_px, image.width_px)
    stored = shown[::-1] if image.orientation in (5, 6, 7, 8) else shown
    if image.orientation not in range(2, 9) or labels.shape != stored:
        return labels, None
    return oriented(labels, image.orientation), f"{ORIENTATION_NOTE}, as its image is"


def check_fits(labels: NDArray[Any], image: Tile, what: str) -> None:
    """Refuse a label image (H, W) of another size than its image; `what` names its file.

    Raises
    ------
    RecordError
    """
    if labels.shape != (image.height_px, image.width_px):
        raise RecordError(
            f"{what} has labels of shape {labels.shape}, but its image is {image.width_px} x "
            f"{image.height_px} px; expected ({image.height_px}, {image.width_px})."
        )
