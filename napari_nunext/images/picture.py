"""What a reader returns, and what all readers share."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import ImageError, NunextError
from napari_nunext.core.image.source import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MAX_PIXELS = MOST_PIXELS
"""Largest tile."""
MAX_BYTES = 3 * MAX_PIXELS
"""Of an image as its reader decodes it: as much as the largest tile has in 8-bit RGB."""


_DECODING_BYTES_PER_PX = 16
_DECODING_COPIES = 2
"""What a decoder takes at most beside the pixels it gives, measured over 26 kinds of files: Pillow
keeps RGB in 4 bytes and converts into another 4, TIFF needs the samples as they are stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image file whose header was read."""

    width_px: int
    height_px: int
    mpp: float | None
    notes: tuple[str, ...]
    """What is done to show it as 8-bit RGB, one phrase each."""
    decode: Callable[[], NDArray[np.uint8]]
    """Read the pixels, shape (height_px, width_px, 3). Raises `ImageError`."""
    orientation: int = 1
    """How the stored pixels are turned to be shown, as EXIF and TIFF number it."""
    decoding_bytes: int = 0
    """Most memory that decoding takes, with the pixels, by the header."""


def check_size(path: Path, width_px: int, height_px: int, bytes_per_px: int = 3) -> int:
    """Refuse empty and enormous images from their header, before memory is taken.

    Parameters
    ----------
    path : Path
        Named in the message.
    width_px, height_px : int
        Of what is decoded at once.
    bytes_per_px : int
        Of the samples as they are decoded.

    Returns
    -------
    int
        Most memory that decoding takes, with the pixels, in bytes.

    Raises
    ------
    ImageError
    """
    if width_px <= 0 or height_px <= 0:
        raise ImageError(f"{path.name} is {width_px} x {height_px} px: it holds no pixels.")
    if width_px * height_px > MAX_PIXELS:
        raise ImageError(
            f"{path.name} is {width_px} x {height_px} px; a tile may have "
            f"{MAX_PIXELS // 1_000_000} million pixels. Cut it into tiles."
        )
    if width_px * height_px * bytes_per_px > MAX_BYTES:
        raise ImageError(
            f"{path.name} is {width_px} x {height_px} px of {bytes_per_px} bytes each; a tile may "
            f"have {MAX_BYTES // 1_000_000} million bytes. Export it as 8-bit RGB."
        )
    return width_px * height_px * (_DECODING_BYTES_PER_PX + _DECODING_COPIES * bytes_per_px)


def damaged(path: Path, error: Exception) -> ImageError:
    """Say that the pixels of a file could not be read."""
    return ImageError(
        f"{path.name} is damaged or incomplete ({error or type(error).__name__}). "
        "Copy or export it again."
    )


def oriented(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an image as its EXIF or TIFF orientation (1 to 8) says; other values leave it."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


ORIENTATION_NOTE = "turned as its orientation tag says"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make whatever a reader raises the file's error: one bad file must not end a batch.

    Raises
    ------
    ImageError
    """
    try:
        with quiet_readers():
            yield
    except NunextError:
        raise
    # Decoders of damaged data raise what they run into: overflows, failed assertions and more.
    except Exception as error:
        raise damaged(path, error) from error


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Keep the readers' warnings out of the console. They name files: only kinds are logged."""

    def divert(record: logging.LogRecord) -> bool:
        logger.debug("tifffile said something in %s", record.funcName)
        return False

    tifffile_logger = logging.getLogger("tifffile")
    tifffile_logger.addFilter(divert)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        tifffile_logger.removeFilter(divert)
    for warning in caught:
        logger.debug("a reader warned of a %s", warning.category.__name__)
