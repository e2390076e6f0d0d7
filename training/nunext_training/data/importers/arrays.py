"""Data sets that are arrays of images in NumPy's files, read image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.images.tile import image_from_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.images import Tile


def load_array(path: Path) -> NDArray[Any]:
    """The array of a file, mapped rather than read.

    Raises
    ------
    RecordError
        If the file is no array, or one that only unsafe unpickling opens.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path.name} cannot be read ({error}). Unpack it again.") from error
    return array


def open_slice(path: Path, index: int, name: str) -> Tile:
    """One image of an array (N, H, W, 3) with values of 0..255, mostly as floats."""
    height, width = load_array(path).shape[1:3]

    def decode() -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = np.clip(np.rint(load_array(path)[index]), 0, 255).astype(
            np.uint8
        )
        return pixels

    return image_from_pixels(name, width, height, decode)
