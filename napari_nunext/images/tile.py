"""An image file that fits into memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.sentences import is_text
from napari_nunext.images.find import image_stem
from napari_nunext.images.picture import Picture
from napari_nunext.images.scale import Scale
from napari_nunext.images.window import read_window

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.images.scale import ScaleSource

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


class _Pixels:
    """The pixels of a picture and their hash, each made once, when first wanted, by any thread."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._lock = threading.Lock()
        self._rgb: NDArray[np.uint8] | None = None
        self._sha256: str | None = None

    def rgb(self) -> NDArray[np.uint8]:
        with self._lock:
            if self._rgb is None:
                rgb = self._picture.decode()
                rgb.flags.writeable = False
                self._rgb = rgb
            return self._rgb

    @property
    def orientation(self) -> int:
        return self._picture.orientation

    @property
    def decoding_bytes(self) -> int:
        return self._picture.decoding_bytes

    def sha256(self) -> str:
        rgb = self.rgb()
        with self._lock:
            if self._sha256 is None:
                self._sha256 = pixels_sha256(rgb)
            return self._sha256


@dataclass(frozen=True, slots=True, eq=False)
class TileImage:
    """A PNG, JPEG or TIFF image with its scale; an `ImageSource`.

    The header was read when it was opened; `rgb`, `sha256` and `read_window` read the pixels on
    first use and raise `ImageError` where they are damaged.
    """

    path: Path
    width_px: int
    height_px: int
    scale: Scale
    notes: tuple[str, ...]
    """What was done to show it as 8-bit RGB, and why its scale was not taken; one phrase each."""
    _pixels: _Pixels

    @property
    def name(self) -> str:
        """File name, to show."""
        return self.path.name

    @property
    def stem(self) -> str:
        """File name without its image suffix; other dots stay."""
        return image_stem(self.path)

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel; None where neither the file nor a person has said."""
        return self.scale.mpp

    @property
    def mpp_source(self) -> ScaleSource | None:
        """Who says so."""
        return self.scale.source

    @property
    def box(self) -> Box:
        """The whole image."""
        return Box.of_image(self.width_px, self.height_px)

    @property
    def orientation(self) -> int:
        """How the stored pixels were turned to be shown, as EXIF and TIFF number it; 1 for not."""
        return self._pixels.orientation

    @property
    def decoding_bytes(self) -> int:
        """Most memory that reading the pixels takes, by the header; 0 where it is not known."""
        return self._pixels.decoding_bytes

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Pixels, shape (height_px, width_px, 3), read-only, upright (EXIF orientation)."""
        return self._pixels.rgb()

    @property
    def sha256(self) -> str:
        """Hash of size and pixels; see `napari_nunext.core.identity.pixels_sha256`."""
        return self._pixels.sha256()

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` as ``(out_px, out_px, 3)``; see `napari_nunext.images.window`."""
        return read_window(self.rgb, box, out_px)

    def with_scale(self, mpp: float, source: ScaleSource) -> TileImage:
        """The same image, pixels shared, at another scale.

        Raises
        ------
        CalibrationError
            If `mpp` is implausible.
        """
        return replace(self, scale=Scale(check_mpp(mpp, self.name), source))


def open_image(path: str | PathLike[str], *, mpp: float | None = None) -> TileImage:
    """Open a PNG, JPEG or TIFF file, told by its content rather than its suffix.

    Parameters
    ----------
    path : path-like
    mpp : float, optional
        Micrometres per pixel; prevails over what the file says. Where neither says, the scale is
        None, and it is for the caller to ask or to assume (`TileImage.with_scale`).

    Raises
    ------
    ImageError
        If the file is missing, a folder, empty, too large, or not an image of these kinds. Damage
        further into the file shows when the pixels are read.
    CalibrationError
        If `mpp` is implausible.
    """
    path = Path(path)
    picture = _read(path)
    scale = Scale(picture.mpp, None if picture.mpp is None else "file")
    image = TileImage(
        path, picture.width_px, picture.height_px, scale, picture.notes, _Pixels(picture)
    )
    return image if mpp is None else image.with_scale(mpp, "user")


def image_from_pixels(
    path: str | PathLike[str],
    width_px: int,
    height_px: int,
    decode: Callable[[], NDArray[np.uint8]],
) -> TileImage:
    """An image that is no file of its own, such as one of many in an array.

    Parameters
    ----------
    path : path-like
        Names it.
    width_px, height_px : int
    decode : callable
        Gives the pixels, a new array of shape (height_px, width_px, 3); called once, when they are
        first wanted.
    """
    picture = Picture(width_px, height_px, None, (), decode)
    return TileImage(Path(path), width_px, height_px, Scale(None, None), (), _Pixels(picture))


def _read(path: Path) -> Picture:
    """Read the header with the reader that the file's first bytes name."""
    if not is_text(str(path)):
        raise ImageError(
            f"{path.name!r} has a name that is no text and cannot be kept. Rename the file."
        )
    if path.is_dir():
        raise ImageError(f"{path.name} is a folder; expected an image file. Open what is in it.")
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise ImageError(f"{path.name} cannot be opened: {error.strerror or error}.") from error
    if not magic:
        raise ImageError(f"{path.name} is empty (0 bytes). Copy or export it again.")
    if magic.startswith(_TIFF_MAGIC):
        from napari_nunext.images.tiff import read_tiff  # tifffile takes its time to import

        return read_tiff(path)
    if magic.startswith(_PILLOW_MAGIC):
        from napari_nunext.images.pillow import read_pillow

        return read_pillow(path)
    raise ImageError(
        f"{path.name} is not a PNG, JPEG or TIFF image. Convert it to one, best PNG or TIFF."
    )
