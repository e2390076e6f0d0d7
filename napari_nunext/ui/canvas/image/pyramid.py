"""A slide as napari draws it: level by level, as much as is in view."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_nunext.core.errors import DamagedRegionError
from napari_nunext.core.geometry import Box
from napari_nunext.images.slides.slide import MOST_OVERVIEW_PX, check_overview
from napari_nunext.ui.canvas.layers import placement
from napari_nunext.ui.samples import SOURCE_KEY

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_nunext.images.slides.slide import Slide

BLOCK_PX = 1024
"""napari reads anew only when the view leaves blocks of this side: once in twenty steps."""
STEP = 4.0
"""Between levels that are made."""
_LEAST_PX = 64
"""Sides of what is left white at least, where a tile is damaged."""


class Level(ABC):
    """A level, as an array that is read where it is asked.

    Parameters
    ----------
    width_px, height_px : int
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, width_px: int, height_px: int) -> None:
        self.shape = (height_px, width_px, 3)
        self.size = height_px * width_px * 3
        self.chunks = (BLOCK_PX, BLOCK_PX, 3)

    def __deepcopy__(self, memo: object) -> Self:
        """The same: nobody can change it, and napari copies what a layer has when it copies it."""
        return self

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Pixels of some rows and columns, as slices."""
        rows, columns, *others = key if isinstance(key, tuple) else (key, slice(None))
        (y0, y1, down), (x0, x1, across) = (
            part.indices(size) for part, size in zip((rows, columns), self.shape, strict=False)
        )
        pixels = self._read(x0, y0, max(x1, x0), max(y1, y0))[::down, ::across]
        return pixels[(..., *others)] if others else pixels

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it: napari asks it of the coarsest level."""
        return np.asarray(self[:, :], dtype=dtype)

    @abstractmethod
    def _read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]: ...


class LevelPixels(Level):
    """A level of a slide as it is, white where it is damaged.

    Parameters
    ----------
    slide : Slide
    level : int
    """

    def __init__(self, slide: Slide, level: int) -> None:
        super().__init__(*slide.sizes_px[level])
        self._slide = slide
        self._level = level

    def _read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        if x0 == x1 or y0 == y1:
            return np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        factor = self._slide.levels[self._level]
        # A little within the pixels at the edges: no rounding leads to their neighbours.
        box = Box(
            (x0 + 0.2) * factor, (y0 + 0.2) * factor, (x1 - 0.8) * factor, (y1 - 0.8) * factor
        )
        try:
            return self._slide.read_region(box, self._level)
        except DamagedRegionError:
            return self._around_damage(x0, y0, x1, y1)

    def _around_damage(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """What can be read of it, by halves."""
        out = np.full((y1 - y0, x1 - x0, 3), 255, dtype=np.uint8)
        if max(x1 - x0, y1 - y0) <= _LEAST_PX:
            return out
        if x1 - x0 >= y1 - y0:
            middle = (x0 + x1) // 2
            out[:, : middle - x0] = self._read(x0, y0, middle, y1)
            out[:, middle - x0 :] = self._read(middle, y0, x1, y1)
        else:
            middle = (y0 + y1) // 2
            out[: middle - y0] = self._read(x0, y0, x1, middle)
            out[middle - y0 :] = self._read(x0, middle, x1, y1)
        return out


class ShrunkPixels(Level):
    """A level that is coarser than those a slide has, made where it is asked: that takes a while.

    Parameters
    ----------
    slide : Slide
    factor : float
        Level-0 pixels a pixel.
    """

    def __init__(self, slide: Slide, factor: float) -> None:
        super().__init__(math.ceil(slide.box.width / factor), math.ceil(slide.box.height / factor))
        self._slide = slide
        self._factor = factor

    def _read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        return self._square(x0, y0, max(x1 - x0, y1 - y0))[: y1 - y0, : x1 - x0]

    def _square(self, x0: int, y0: int, side: int) -> NDArray[np.uint8]:
        box = Box(x0, y0, x0 + side, y0 + side)
        try:
            return self._slide.read_window(
                Box(*(edge * self._factor for edge in box.as_tuple())), side
            )
        except DamagedRegionError:
            return self._around_damage(x0, y0, side)

    def _around_damage(self, x0: int, y0: int, side: int) -> NDArray[np.uint8]:
        """What can be read of it, by quarters."""
        half = -(-side // 2)
        out = np.full((2 * half, 2 * half, 3), 255, dtype=np.uint8)
        if side > _LEAST_PX:
            for top in (0, half):
                for left in (0, half):
                    part = self._square(x0 + left, y0 + top, half)
                    out[top : top + half, left : left + half] = part
        return out[:side, :side]


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The levels to show a slide by, finest first, the last one small enough to be held."""

    levels: tuple[Level, ...]
    factors: tuple[float, ...]
    """Level-0 pixels a pixel of each."""
    own: int
    """So many of them the slide has; the others are made of these."""

    @classmethod
    def of(cls, slide: Slide) -> Pyramid:
        """Those of a slide, and as many more as it takes to see it as a whole."""
        levels: list[Level] = [LevelPixels(slide, number) for number in range(len(slide.levels))]
        factors = list(slide.levels)
        while math.prod(levels[-1].shape[:2]) > MOST_OVERVIEW_PX:
            factors.append(STEP * factors[-1])
            levels.append(ShrunkPixels(slide, factors[-1]))
        return cls(tuple(levels), tuple(factors), own=len(slide.levels))


def slide_layer(slide: Slide) -> tuple[Any, dict[str, Any], str]:
    """A slide as napari's readers give it: data, keywords, and the kind of layer.

    Raises
    ------
    ImageError
        If its coarsest level is larger than can be read at once.
    """
    check_overview(slide)
    levels = [LevelPixels(slide, number) for number in range(len(slide.levels))]
    keywords: dict[str, Any] = {
        "name": slide.name,
        "rgb": True,
        "metadata": {SOURCE_KEY: str(slide.path)},
    }
    if slide.scale.mpp is not None:
        keywords |= placement(slide.scale.mpp)
    if len(levels) == 1:
        return np.asarray(levels[0]), keywords, "image"
    return levels, keywords | {"multiscale": True}, "image"
