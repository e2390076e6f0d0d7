"""PNG and JPEG, through Pillow."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import (
    MAX_PIXELS,
    ORIENTATION_NOTE,
    Picture,
    check_size,
    damaged,
    oriented,
    quiet_readers,
)
from napari_nunext.images.samples import grey_to_rgb, on_white, to_8bit
from napari_nunext.images.scale import mpp_of_pixel_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_EXIF_ORIENTATION = 0x0112
_UM_PER_INCH = 25_400.0
_READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow's PNG and JPEG readers raise on bad data."""

_NOTE_OF_MODE = {
    "1": "black and white, shown as RGB",
    "L": "greyscale, shown as RGB",
    "LA": "greyscale, shown as RGB",
    "P": "palette colours, shown as RGB",
    "PA": "palette colours, shown as RGB",
    "I": "16-bit grey, shown as RGB 8-bit",
    "I;16": "16-bit grey, shown as RGB 8-bit",
    "I;16B": "16-bit grey, shown as RGB 8-bit",
    "CMYK": "CMYK, shown as RGB without a colour profile",
}


def read_pillow(path: Path) -> Picture:
    """Read the header of a PNG or JPEG file.

    Raises
    ------
    ImageError
        If it is damaged, empty or too large.
    """
    with _opened(path) as image:
        check_size(path, *image.size)
        orientation = _orientation(image)
        width, height = image.size[::-1] if orientation in (5, 6, 7, 8) else image.size
        mpp, scale_notes = _mpp(image)
        notes = _notes(image, path, orientation)
    return Picture(width, height, mpp, notes + scale_notes, lambda: _decode(path))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with quiet_readers(), Image.open(path, formats=("PNG", "JPEG")) as image:
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path.name} is too large ({error}); a tile may have "
            f"{MAX_PIXELS // 1_000_000} million pixels. Cut it into tiles."
        ) from error
    except _READ_ERRORS as error:
        raise damaged(path, error) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, from what stands before the pixels: PNG's own getexif would decode them."""
    return int(Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))


def _mpp(image: Image.Image) -> tuple[float | None, tuple[str, ...]]:
    """Scale from PNG pHYs or JPEG density, which Pillow both gives as dots per inch."""
    dpi_x, dpi_y = image.info.get("dpi", (0, 0))
    if not (dpi_x > 0 and dpi_y > 0):
        return None, ()
    return mpp_of_pixel_size(_UM_PER_INCH / float(dpi_x), _UM_PER_INCH / float(dpi_y))


def _notes(image: Image.Image, path: Path, orientation: int) -> tuple[str, ...]:
    notes = []
    if image.mode in _NOTE_OF_MODE:
        notes.append(_NOTE_OF_MODE[image.mode])
    elif image.format == "PNG" and _png_bit_depth(path) == 16:
        notes.append("16-bit colour, shown as RGB 8-bit")
    if _has_alpha(image):
        notes.append("transparent pixels put on white")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"{frames} frames, the first is shown")
    if 2 <= orientation <= 8:
        notes.append(ORIENTATION_NOTE)
    return tuple(notes)


def _has_alpha(image: Image.Image) -> bool:
    """Whether pixels may be transparent; a colour key of 16-bit grey is left out of account."""
    return image.has_transparency_data and not image.mode.startswith("I")


def _png_bit_depth(path: Path) -> int:
    """Byte 24 of a PNG file, in its header chunk; Pillow does not tell 16-bit colour."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _decode(path: Path) -> NDArray[np.uint8]:
    """Read all pixels as RGB, in upright orientation."""
    with _opened(path) as image:
        if image.format == "PNG":
            image.verify()  # checksums of all chunks; the image must be opened anew after it
    with _opened(path) as image:
        orientation = _orientation(image)
        if _has_alpha(image):
            rgba = np.asarray(image.convert("RGBA"))
            rgb = on_white(rgba[..., :3], rgba[..., 3])
        elif image.mode.startswith("I"):
            rgb = grey_to_rgb(to_8bit(np.asarray(image).astype(np.uint16)))
        else:
            rgb = np.array(image.convert("RGB"))
    return oriented(rgb, orientation)
