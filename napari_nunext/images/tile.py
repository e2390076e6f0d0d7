"""An image file that fits into memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.picture import Picture, reading
from napari_nunext.images.scale import Scale
from napari_nunext.images.window import read_window

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from numpy.typing import NDArray

    from napari_nunext.images.scale import ScaleSource


class _Pixels:
    """The pixels of a picture and their hash, each made once, when first wanted, by any thread."""

    def __init__(self, path: Path, picture: Picture) -> None:
        self._path = path
        self._picture = picture
        self._lock = threading.Lock()
        self._rgb: NDArray[np.uint8] | None = None
        self._sha256: str | None = None

    def rgb(self) -> NDArray[np.uint8]:
        with self._lock:
            if self._rgb is None:
                with reading(self._path):
                    rgb = self._decoded()
                rgb.flags.writeable = False
                self._rgb = rgb
            return self._rgb

    def _decoded(self) -> NDArray[np.uint8]:
        rgb, expected = self._picture.decode(), (self._picture.height_px, self._picture.width_px, 3)
        if rgb.shape != expected or rgb.dtype != np.uint8:
            raise ValueError(f"its pixels are {rgb.dtype} {rgb.shape}, not uint8 {expected}")
        return np.ascontiguousarray(rgb)

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
    """An image that fits into memory, with its scale; an `ImageSource`.

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


def tile_of(path: Path, picture: Picture) -> TileImage:
    """The image of a file whose header was read."""
    return TileImage(
        path,
        picture.width_px,
        picture.height_px,
        Scale(picture.mpp, None if picture.mpp is None else "file"),
        picture.notes,
        _Pixels(path, picture),
    )


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
    return tile_of(Path(path), Picture(width_px, height_px, None, (), decode))
