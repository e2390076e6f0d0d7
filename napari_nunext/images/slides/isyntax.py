"""Philips iSyntax, by pyisyntax where it is installed.

Written after its documentation and source (0.1.7); no file of this format was ever at hand.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.images.samples import on_white
from napari_nunext.images.scale import mpp_of_pixel_size
from napari_nunext.images.slides.reader import Level, SlideHeader, sampled
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.wanted import wanted_package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.images.slides.slide import Slide

_TILE_PX = 512


def open_isyntax(path: Path) -> Slide:
    """Open an iSyntax file as a slide.

    Raises
    ------
    ImageError
        If it cannot be read, or pyisyntax is not installed.
    """
    wanted_package("isyntax", path, "pyisyntax")
    return slide_of(path, lambda: ISyntaxReader(path))


class ISyntaxReader:
    """Reads tiles of an iSyntax file; a `SlideReader`. One thread reads at a time."""

    def __init__(self, path: Path) -> None:
        from isyntax import ISyntax

        self._lock = threading.Lock()
        self._slide = ISyntax.open(path)
        weakref.finalize(self, self._slide.close)
        found = list(self._slide.wsi.levels)
        levels = tuple(
            Level(each.width, each.height, _TILE_PX, _TILE_PX, float(2**each.scale))
            for each in found
        )
        mpp, notes = mpp_of_pixel_size(found[0].mpp_x, found[0].mpp_y)
        self.header = SlideHeader(levels, mpp, notes)

    def read_tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """See `SlideReader.read_tile`."""
        at = self.header.levels[level]
        left, top = column * _TILE_PX, row * _TILE_PX
        width, height = min(_TILE_PX, at.width_px - left), min(_TILE_PX, at.height_px - top)
        with self._lock:
            rgba = np.asarray(self._slide.read_region(left, top, width, height, level=level))
        return on_white(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3])

    def canonical(self) -> Iterator[bytes]:
        """Levels and some tiles."""
        yield b"isyntax"
        for number, level in enumerate(self.header.levels):
            yield f"{level.width_px} {level.height_px} {level.factor}".encode()
            for column, row in sampled(level):
                yield np.ascontiguousarray(self.read_tile(number, column, row)).tobytes()
