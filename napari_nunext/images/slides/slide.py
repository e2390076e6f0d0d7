"""A slide as an `ImageSource`."""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import DamagedRegionError, ImageError, InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import IMAGE_ID_LENGTH, pixels_sha256_of
from napari_nunext.core.image.source import Scale
from napari_nunext.images.picture import MAX_PIXELS, reading
from napari_nunext.images.slides.reader import DamagedTileError
from napari_nunext.images.slides.readers import TILES_BYTES, SlideFile
from napari_nunext.images.window import margin_px, read_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ScaleSource
    from napari_nunext.images.slides.reader import Level, SlideReader

TAG = "slide1-"
"""What the id of a slide begins with. Another way of hashing needs another."""
MOST_WINDOW_PX = 1 << 24
"""What is read at once for a window. A coarser one of an image without levels is read in parts."""
MOST_OVERVIEW_PX = 1 << 24
"""Of a level that is read whole, to show all of the slide."""


class _Id:
    """The id of a slide, made once, when first wanted, by any thread."""

    def __init__(self, file: SlideFile, stored_rows: Callable[[], Iterator[bytes]] | None) -> None:
        self._file = file
        self._stored_rows = stored_rows
        self._lock = threading.Lock()
        self._id = ""

    def get(self) -> str:
        with self._lock:
            self._id = self._id or self._made()
            return self._id

    def _made(self) -> str:
        if self._stored_rows is not None:
            level = self._file.header.levels[0]
            return pixels_sha256_of(self._stored_rows(), level.width_px, level.height_px)
        digest = hashlib.sha256()
        for part in self._file.reader().canonical():
            digest.update(len(part).to_bytes(8, "little") + part)
        return (TAG + digest.hexdigest())[:IMAGE_ID_LENGTH]


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """An image that is read tile by tile; an `ImageSource`.

    Its header was read when it was opened. Files are closed and opened again as it takes, decoded
    tiles of all slides share a cache of `TILES_BYTES`.
    """

    name: str
    path: Path
    scale: Scale
    notes: tuple[str, ...]
    _file: SlideFile
    _id: _Id

    @property
    def id(self) -> str:
        """Hash of format, levels and a sample of tiles; see `SlideReader.canonical`.

        A pyramid that is as small as a tile may be is known by its pixels, as tiles are.
        """
        with reading(self.path):
            return self._id.get()

    @property
    def box(self) -> Box:
        """The whole slide."""
        return Box.of_image(self._levels[0].width_px, self._levels[0].height_px)

    @property
    def levels(self) -> tuple[float, ...]:
        """Level-0 pixels a pixel of each level, finest first."""
        return tuple(level.factor for level in self._levels)

    @property
    def sizes_px(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level in its own pixels."""
        return tuple((level.width_px, level.height_px) for level in self._levels)

    @property
    def has_overview(self) -> bool:
        """Whether its coarsest level can be read whole at once."""
        width_px, height_px = self.sizes_px[-1]
        return width_px * height_px <= MOST_OVERVIEW_PX

    @property
    def _levels(self) -> tuple[Level, ...]:
        return self._file.header.levels

    @property
    def reading_bytes(self) -> int:
        """Of the window that takes most: pixels as they are read and as they are resampled."""
        return min(self._pixels_bytes, 4 * 3 * MOST_WINDOW_PX)

    @property
    def held_bytes(self) -> int:
        """Most that it keeps of the cache that slides share."""
        return min(self._pixels_bytes, TILES_BYTES)

    @property
    def _pixels_bytes(self) -> int:
        return sum(3 * level.width_px * level.height_px for level in self._levels)

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Pixels that `box` touches; see `ImageSource.read_region`.

        Raises
        ------
        DamagedRegionError
            If a tile in it is damaged. Other regions can be read.
        ImageError
            If it is larger than fits into memory, or the file cannot be read now.
        """
        inside = box.clipped_to(self.box)
        is_there = 0 <= level < len(self._levels) and inside.width and inside.height
        if not is_there:
            raise InputError(
                f"{self.name} has no pixels in {box.as_tuple()} at level {level}; expected a part "
                f"of {self.box.as_tuple()} at levels 0 to {len(self._levels) - 1}."
            )
        at = self._levels[level]
        x0, x1 = _touched(inside.x0, inside.x1, at.factor, at.width_px)
        y0, y1 = _touched(inside.y0, inside.y1, at.factor, at.height_px)
        if (x1 - x0) * (y1 - y0) > MAX_PIXELS:
            raise ImageError(
                f"A region of {x1 - x0} x {y1 - y0} px of {self.name} was asked for; expected at "
                f"most {MAX_PIXELS // 1_000_000} million pixels. Read a smaller one, or a coarser "
                "level."
            )
        if (x0, y0, x1, y1) == (0, 0, at.width_px, at.height_px):
            return self._file.whole(level, lambda: self._pixels(level, x0, y0, x1, y1))
        return self._pixels(level, x0, y0, x1, y1)

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` as ``(out_px, out_px, 3)``; see `napari_nunext.images.window`.

        They come from the coarsest level that is as fine as the window.
        """
        shrunk = min(box.width, box.height) / max(out_px, 1)
        number = max(i for i, at in enumerate(self._levels) if i == 0 or at.factor <= shrunk)
        at = self._levels[number]
        wanted = Box(*(edge / at.factor for edge in box.as_tuple()))
        margin = margin_px(wanted, out_px) if wanted.width and wanted.height and out_px > 0 else 0
        x0, x1 = _within(wanted.x0 - margin, wanted.x1 + margin, at.width_px)
        y0, y1 = _within(wanted.y0 - margin, wanted.y1 + margin, at.height_px)
        step = self._step(wanted, out_px, (x1 - x0) * (y1 - y0))
        if step > 1:
            x0, y0 = x0 // step * step, y0 // step * step
            pixels = self._shrunk(number, x0, y0, x1, y1, step)
        else:
            pixels = self._pixels(number, x0, y0, x1, y1)
        at_pixels = Box(
            (wanted.x0 - x0) / step,
            (wanted.y0 - y0) / step,
            (wanted.x1 - x0) / step,
            (wanted.y1 - y0) / step,
        )
        return read_window(pixels, at_pixels, out_px)

    def with_scale(self, mpp: float, source: ScaleSource) -> Slide:
        """The same slide, pixels shared, at another scale; see `ImageSource.with_scale`."""
        return replace(self, scale=Scale(check_mpp(mpp, self.name), source))

    @staticmethod
    def _step(wanted: Box, out_px: int, area_px: int) -> int:
        """By how much pixels are shrunk as they are read, so that memory does."""
        if area_px <= MOST_WINDOW_PX:
            return 1
        finest = max(1, math.floor(min(wanted.width, wanted.height) / out_px / 2))
        return min(finest, math.ceil(math.sqrt(area_px / MOST_WINDOW_PX)))

    def _shrunk(
        self, level: int, x0: int, y0: int, x1: int, y1: int, step: int
    ) -> NDArray[np.uint8]:
        """Means of `step` x `step` pixels, read some tiles at a time."""
        out = np.empty((-(-(y1 - y0) // step), -(-(x1 - x0) // step), 3), dtype=np.uint8)
        side = max(1, math.isqrt(MOST_WINDOW_PX) // step)
        for top in range(0, out.shape[0], side):
            for left in range(0, out.shape[1], side):
                block = out[top : top + side, left : left + side]
                pixels = self._pixels(
                    level,
                    x0 + left * step,
                    y0 + top * step,
                    min(x0 + (left + block.shape[1]) * step, x1),
                    min(y0 + (top + block.shape[0]) * step, y1),
                )
                block[:] = _means(pixels, step)
        return out

    def _pixels(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of a level, put together from tiles; a view of one where that has them all."""
        at = self._levels[level]
        across, down = at.tile_width_px, at.tile_height_px
        columns = range(x0 // across, -(-x1 // across))
        rows = range(y0 // down, -(-y1 // down))
        out = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        for row in rows:
            for column in columns:
                left, top = column * across, row * down
                tile = self._tile(level, column, row)
                shown = tile[
                    max(y0 - top, 0) : min(y1 - top, down),
                    max(x0 - left, 0) : min(x1 - left, across),
                ]
                if len(rows) == len(columns) == 1:
                    return shown
                y, x = max(top - y0, 0), max(left - x0, 0)
                out[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        return out

    def _tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        try:
            return self._file.tile(level, column, row)
        except DamagedTileError as error:
            at = self._levels[level]
            width, height = at.tile_width_px * at.factor, at.tile_height_px * at.factor
            x0, y0 = column * width, row * height
            box = Box(x0, y0, x0 + width, y0 + height).clipped_to(self.box)
            raise DamagedRegionError(
                f"{self.name} is damaged at x {box.x0:.0f} to {box.x1:.0f}, y {box.y0:.0f} to "
                f"{box.y1:.0f} px: this part cannot be read, others can. Copy or export it again.",
                box.as_tuple(),
            ) from error


def slide_of(
    path: Path,
    open_reader: Callable[[], SlideReader],
    stored_rows: Callable[[], Iterator[bytes]] | None = None,
) -> Slide:
    """The slide of a file.

    Parameters
    ----------
    path : Path
    open_reader : callable
        Opens the file and reads its header; called again as it takes.
    stored_rows : callable, optional
        Level 0 as it is stored, RGB row by row, for a slide that is known by its pixels.

    Raises
    ------
    ImageError
        If it cannot be opened.
    """
    with reading(path):
        file = SlideFile(path, open_reader)
    header = file.header
    scale = Scale(header.mpp, None if header.mpp is None else "file")
    return Slide(path.name, path, scale, header.notes, file, _Id(file, stored_rows))


def check_overview(slide: Slide) -> None:
    """Refuse to show a slide that has no coarse level.

    Raises
    ------
    ImageError
    """
    if not slide.has_overview:
        width, height = slide.sizes_px[-1]
        raise ImageError(
            f"{slide.name} has no level below {width} x {height} px; expected a pyramid down to "
            "some 1000 px. Convert it, for example to a pyramid OME-TIFF."
        )


def _touched(low: float, high: float, factor: float, size: int) -> tuple[int, int]:
    """The pixels of a level that level-0 px from `low` to `high` touch, one at least."""
    first = min(math.floor(low / factor), size - 1)
    return first, max(first + 1, min(math.ceil(high / factor), size))


def _within(low: float, high: float, size: int) -> tuple[int, int]:
    """Whole pixels around these that are there; where none are, none."""
    first = min(max(math.floor(low), 0), size)
    return first, max(first, min(math.ceil(high), size))


def _means(pixels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Means of squares of `step` px, shape (H, W, 3); those at the far edges may be cut."""
    height, width = (-(-side // step) * step for side in pixels.shape[:2])
    beyond = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    whole = np.pad(pixels, beyond, mode="edge") if any(map(any, beyond)) else pixels
    squares = whole.reshape(height // step, step, width // step, step, 3)
    sums = squares.sum(axis=3, dtype=np.uint32).sum(axis=1, dtype=np.uint32)
    return ((sums + step * step // 2) // (step * step)).astype(np.uint8)
