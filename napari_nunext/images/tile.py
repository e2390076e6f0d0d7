"""An image file that fits into memory."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.image.source import Scale
from napari_nunext.images.picture import Picture, reading
from napari_nunext.images.window import read_window

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ScaleSource


class _Pixels:
    """The pixels of a picture and their hash, each made once, when first wanted, by any thread."""

    def __init__(self, name: str, picture: Picture) -> None:
        self._name = name
        self._picture = picture
        self._lock = threading.Lock()
        self._rgb: NDArray[np.uint8] | None = None
        self._sha256: str | None = None

    def rgb(self) -> NDArray[np.uint8]:
        with self._lock:
            if self._rgb is None:
                with reading(Path(self._name)):
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
class Tile:
    """An image that fits into memory; an `ImageSource`.

    The header was read when it was opened. All pixels are read when some are wanted first.
    """

    name: str
    path: Path | None
    width_px: int
    height_px: int
    scale: Scale
    notes: tuple[str, ...]
    _pixels: _Pixels

    @property
    def id(self) -> str:
        """Hash of size and pixels; see `napari_nunext.core.identity.pixels_sha256`."""
        return self._pixels.sha256()

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
    def levels(self) -> tuple[float, ...]:
        """One alone."""
        return (1.0,)

    @property
    def orientation(self) -> int:
        """How the stored pixels were turned to be shown, as EXIF and TIFF number it; 1 for not."""
        return self._pixels.orientation

    @property
    def reading_bytes(self) -> int:
        """Most memory that reading the pixels takes, by the header; 0 where it is not known."""
        return self._pixels.decoding_bytes

    @property
    def held_bytes(self) -> int:
        """All pixels."""
        return 3 * self.width_px * self.height_px

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Pixels, shape (height_px, width_px, 3), read-only, upright (EXIF orientation)."""
        return self._pixels.rgb()

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` as ``(out_px, out_px, 3)``; see `napari_nunext.images.window`."""
        return read_window(self.rgb, box, out_px)

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Pixels that `box` touches, a view; see `ImageSource.read_region`."""
        inside = box.clipped_to(self.box)
        if level != 0 or not (inside.width and inside.height):
            raise InputError(
                f"{self.name} has no pixels in {box.as_tuple()} at level {level}; expected a part "
                f"of {self.box.as_tuple()} at level 0."
            )
        if inside == self.box:
            return self.rgb  # the same array each time
        rows = slice(math.floor(inside.y0), math.ceil(inside.y1))
        return self.rgb[rows, math.floor(inside.x0) : math.ceil(inside.x1)]

    def with_scale(self, mpp: float, source: ScaleSource) -> Tile:
        """The same image, pixels shared, at another scale; see `ImageSource.with_scale`."""
        return replace(self, scale=Scale(check_mpp(mpp, self.name), source))


def tile_of(path: Path, picture: Picture) -> Tile:
    """The image of a file whose header was read."""
    return _tile(path.name, path, picture)


def image_from_pixels(
    name: str | PathLike[str],
    width_px: int,
    height_px: int,
    decode: Callable[[], NDArray[np.uint8]],
) -> Tile:
    """An image that is no file of its own, such as one of many in an array.

    Parameters
    ----------
    name : str or path-like
    width_px, height_px : int
    decode : callable
        Gives the pixels, a new array of shape (height_px, width_px, 3); called once, when they are
        first wanted.
    """
    return _tile(Path(name).name, None, Picture(width_px, height_px, None, (), decode))


def tile_of_rgb(rgb: NDArray[np.uint8], name: str) -> Tile:
    """An image in memory, shape (H, W, 3), copied when it is first read."""
    height_px, width_px = rgb.shape[:2]
    return image_from_pixels(name, width_px, height_px, rgb.copy)


def _tile(name: str, path: Path | None, picture: Picture) -> Tile:
    return Tile(
        name,
        path,
        picture.width_px,
        picture.height_px,
        Scale(picture.mpp, None if picture.mpp is None else "file"),
        picture.notes,
        _Pixels(name, picture),
    )
