"""TIFF whose pixels are read tile by tile: SVS, pyramids, BigTIFF, OME-TIFF with its SubIFDs.

tifffile reads the header. Tiles are read by offset and length here: its own array reader decodes
with threads of its own and through zarr, at twice the processor time.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tifffile import PLANARCONFIG

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import MAX_BYTES, MAX_PIXELS
from napari_nunext.images.slides.color import recolor_by
from napari_nunext.images.slides.reader import (
    MOST_TILE_PX,
    SAMPLED_TILES,
    DamagedTileError,
    Level,
    SlideHeader,
    check_tile_size,
    factor_of,
)
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.tiff_directories import check_directories
from napari_nunext.images.tiff import (
    check_shows_stain,
    opened_tiff,
    orientation_of,
    pixel_notes,
    shown_in,
    to_rgb,
)
from napari_nunext.images.tiff_scale import mpp_of_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import tifffile
    from numpy.typing import NDArray

    from napari_nunext.images.slides.slide import Slide

_ICC = 34675
_SAMPLED_BYTES = 4096
"""Of each tile that the slide is known by, from its beginning."""
_BLANK = 255
"""What a scanner left out is glass."""
_MOST_SAMPLES = 4
_SMALLEST_PX = 16
"""A level that is narrower says nothing."""


def open_tiff_slide(path: Path) -> Slide | None:
    """Open a TIFF as a slide; None where it is no pyramid and small enough to be a tile.

    Raises
    ------
    ImageError
        If it is damaged, incomplete, or of a kind that cannot be shown.
    """
    with opened_tiff(path) as tif:
        if not _is_readable_by_tiles(tif.pages.first):
            return None
        if tif.pages.first.is_tiled:  # strips are those of plain images, which hold less
            check_directories(path, tif)
        series, page = shown_in(tif)
        others = any(p is not None and p.parent is not tif for p in series.pages)
        if others or not _is_readable_by_tiles(page):
            return None  # of an OME-TIFF of several files, each has tiles at places of its own
        area = page.imagewidth * page.imagelength
        fits = area <= MAX_PIXELS and area * page.samplesperpixel <= MAX_BYTES
        if fits and len(series.levels) == 1:
            return None

    def open_reader() -> TiffReader:
        return TiffReader(path)

    def stored_rows() -> Iterator[bytes]:
        return TiffReader(path).stored_rows()

    return slide_of(path, open_reader, stored_rows if fits else None)


def _is_readable_by_tiles(page: tifffile.TiffPage) -> bool:
    """Whether pixels of one tile tell how they look: 8 bits, upright, all tiles there by number."""
    if (
        page.dtype != np.uint8
        or orientation_of(page) != 1
        or page.imagewidth * page.imagelength == 0
        or page.samplesperpixel > _MOST_SAMPLES
    ):
        return False
    down, across = _tile_size(page)
    if down * across > MOST_TILE_PX:
        return False
    planes = page.samplesperpixel if page.planarconfig == PLANARCONFIG.SEPARATE else 1
    tiles = -(-page.imagewidth // across) * -(-page.imagelength // down)
    return len(page.dataoffsets) == len(page.databytecounts) == planes * tiles


def _tile_size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Rows and columns that are decoded together: a tile, or a strip."""
    if page.is_tiled:
        return max(page.tilelength, 1), max(page.tilewidth, 1)
    return max(min(page.rowsperstrip, page.imagelength), 1), page.imagewidth


class _File:
    """Reads from any thread, without a position that they would share."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, start: int, count: int) -> bytes:
        """As many bytes, fewer where the file ends. Raises `OSError` where it cannot be read."""
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, start)
        with self._lock:  # Windows
            os.lseek(self._descriptor, start, os.SEEK_SET)
            return os.read(self._descriptor, count)


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """One page of a level: all of its samples, or one channel."""

    page: tifffile.TiffPage
    offsets: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    decode: Callable[..., Any]
    tables: bytes | None
    first: int
    """Number of the tile at the top left, as channels may follow each other in a page."""

    @classmethod
    def of(cls, page: tifffile.TiffPage, first: int = 0) -> _Plane:
        # All of this is asked for here: the first use of each reads the file, at its position.
        _ = page.colormap
        return cls(
            page,
            np.asarray(page.dataoffsets, dtype=np.uint64),
            np.asarray(page.databytecounts, dtype=np.uint64),
            page.decode,
            page.jpegtables,
            first,
        )


class TiffReader:
    """Reads tiles of a TIFF; a `SlideReader`.

    Raises
    ------
    ImageError
        If the file is cut off, or of a kind that cannot be shown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _File(path)
        with opened_tiff(path) as tif:
            series, page = shown_in(tif)
            check_shows_stain(path, tif, series, page)
            pages = [_pages_of(level) for level in series.levels]
            kept = [some for some in pages if _is_level(some[0], page)]
            self._planes = [_planes_of(some) for some in kept]
            sizes = [(some[0].imagewidth, some[0].imagelength) for some in kept]
            levels = []
            for number, some in enumerate(kept):
                down, across = _tile_size(some[0])
                check_tile_size(path, across, down)
                levels.append(Level(*sizes[number], across, down, factor_of(sizes, number)))
            for planes in self._planes:
                self._check_complete(planes)
            mpp, scale_notes = mpp_of_tiff(tif, page)
            profile = page.tags.valueof(_ICC, default=b"")
            self._recolor, color_notes = recolor_by(bytes(profile))
            notes = pixel_notes(page, series)
        self.header = SlideHeader(tuple(levels), mpp, (*notes, *color_notes, *scale_notes))

    def read_tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """See `SlideReader.read_tile`."""
        rgb = self._stored(level, column, row)
        return rgb if self._recolor is None else self._recolor(rgb)

    def stored_rows(self) -> Iterator[bytes]:
        """Level 0 as it is stored, row by row, without the colour profile."""
        at = self.header.levels[0]
        for row in range(-(-at.height_px // at.tile_height_px)):
            height = min(at.tile_height_px, at.height_px - row * at.tile_height_px)
            columns = range(-(-at.width_px // at.tile_width_px))
            tiles = [self._stored(0, column, row)[:height] for column in columns]
            rows = np.concatenate(tiles, axis=1)[:, : at.width_px]
            yield np.ascontiguousarray(rows).tobytes()

    def canonical(self) -> Iterator[bytes]:
        """Levels, place and length of all tiles, and the bytes of some."""
        yield b"tiff"
        for level, planes in zip(self.header.levels, self._planes, strict=True):
            sizes = (level.width_px, level.height_px, level.tile_width_px, level.tile_height_px)
            yield struct.pack("<4Q", *sizes)
            for plane in planes:
                yield plane.offsets.astype("<u8").tobytes()
                yield plane.counts.astype("<u8").tobytes()
                some = np.linspace(0, len(plane.offsets) - 1, SAMPLED_TILES).astype(int)
                for index in dict.fromkeys(some.tolist()):
                    start, count = int(plane.offsets[index]), int(plane.counts[index])
                    yield self._file.read(start, min(count, _SAMPLED_BYTES)) if count else b""

    def _stored(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        at = self.header.levels[level]
        index = row * -(-at.width_px // at.tile_width_px) + column
        planes = self._planes[level]
        samples = [self._samples(plane, index) for plane in planes]
        known = [some for some in samples if some is not None]
        if not known:
            return np.full((at.tile_height_px, at.tile_width_px, 3), _BLANK, dtype=np.uint8)
        if len(known) < len(samples):
            raise DamagedTileError(f"{self._path.name} lacks a channel of a tile.")
        together = known[0] if len(known) == 1 else np.concatenate(known, axis=2)
        return to_rgb(together, planes[0].page)

    def _samples(self, plane: _Plane, index: int) -> NDArray[np.uint8] | None:
        """A tile as it is stored, shape (H, W, samples); None where the scanner left it out."""
        number = plane.first + index
        start, count = int(plane.offsets[number]), int(plane.counts[number])
        if not count:
            return None
        data = self._file.read(start, count)
        if len(data) < count:
            raise OSError(f"{self._path.name} ends before its tile does")
        try:
            decoded = plane.decode(data, number, jpegtables=plane.tables)[0]
        # Decoders of damaged data raise what they run into.
        except Exception as error:
            raise DamagedTileError(f"A tile cannot be decoded ({error}).") from error
        samples: NDArray[np.uint8] = decoded[0]
        return samples

    def _check_complete(self, planes: list[_Plane]) -> None:
        """Refuse a file in which tiles begin or end beyond its end. Those left out may be."""
        for plane in planes:
            starts, counts = plane.offsets, plane.counts
            left_out = (starts == 0) & (counts == 0)
            ends = starts.astype(np.float64) + counts
            bad = ~left_out & ((starts == 0) | (counts == 0) | (ends > self._file.size))
            if left_out.all() or bad.any():
                raise ImageError(
                    f"{self._path.name} is incomplete: parts of its pixels are missing. "
                    "Copy or export it again."
                )


def _pages_of(series: tifffile.TiffPageSeries) -> list[tifffile.TiffPage]:
    """The page of a level, or that of each channel."""
    if "C" not in series.axes or series.keyframe.samplesperpixel > 1:
        return [series.keyframe]
    return [page.aspage() for page in series.pages if page is not None]


def _planes_of(pages: list[tifffile.TiffPage]) -> list[_Plane]:
    page = pages[0]
    if page.planarconfig != PLANARCONFIG.SEPARATE or page.samplesperpixel == 1:
        return [_Plane.of(each) for each in pages]
    tiles = len(page.dataoffsets) // page.samplesperpixel
    return [_Plane.of(page, first * tiles) for first in range(page.samplesperpixel)]


def _is_level(page: tifffile.TiffPage, whole: tifffile.TiffPage) -> bool:
    """Whether a page shows the whole slide, smaller, and can be read as it can."""
    if page is whole:
        return True
    if page.imagewidth < _SMALLEST_PX or page.imagelength < _SMALLEST_PX:
        return False
    return _is_readable_by_tiles(page) and page.photometric == whole.photometric
