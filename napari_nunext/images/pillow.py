"""PNG and JPEG, through Pillow."""

from __future__ import annotations

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
    oriented,
    reading,
)
from napari_nunext.images.samples import grey_to_rgb, on_white, rgb_of, to_8bit
from napari_nunext.images.scale import mpp_of_pixel_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_EXIF_ORIENTATION = 0x0112
_UM_PER_INCH = 25_400.0

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
        needed = check_size(path, *image.size, _bytes_per_px(image, path))
        orientation = _orientation(image)
        width, height = image.size[::-1] if orientation in (5, 6, 7, 8) else image.size
        mpp, scale_notes = _mpp(image)
        notes = _notes(image, path, orientation)
    notes += scale_notes
    return Picture(width, height, mpp, notes, lambda: _decode(path), orientation, needed)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with reading(path):
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                yield image
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{path.name} is too large ({error}); a tile may have "
                f"{MAX_PIXELS // 1_000_000} million pixels. Cut it into tiles."
            ) from error


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
    elif _is_deep_colour(image, path):
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


def _is_deep_colour(image: Image.Image, path: Path) -> bool:
    """Whether it is a PNG of 16-bit colour: byte 24, in the header chunk; Pillow does not tell."""
    if image.format != "PNG" or image.mode.startswith("I"):
        return False
    with path.open("rb") as file:
        return file.read(25)[24] == 16


def _bytes_per_px(image: Image.Image, path: Path) -> int:
    if image.mode.startswith("I"):
        return 4
    return len(image.getbands()) * (2 if _is_deep_colour(image, path) else 1)


def _decode(path: Path) -> NDArray[np.uint8]:
    """Read all pixels as RGB, in upright orientation."""
    with _opened(path) as image:
        if image.format == "PNG":
            image.verify()  # checksums of all chunks; the image must be opened anew after it
    with _opened(path) as image:
        orientation = _orientation(image)
        if _is_deep_colour(image, path):
            rgb = _deep_colour(path)
        elif _has_alpha(image):
            rgba = np.asarray(image.convert("RGBA"))
            rgb = on_white(rgba[..., :3], rgba[..., 3])
        elif image.mode.startswith("I"):
            rgb = grey_to_rgb(to_8bit(np.asarray(image).astype(np.uint16)))
        else:
            rgb = np.array(image.convert("RGB"))
    return oriented(rgb, orientation)


def _deep_colour(path: Path) -> NDArray[np.uint8]:
    """A PNG of 16-bit colour: Pillow keeps the upper byte, in which a camera's 12 bits are dark."""
    import imagecodecs

    return rgb_of(imagecodecs.png_decode(path.read_bytes()))
