"""What a format of slides has to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MOST_TILE_PX = 1 << 26
"""Largest tile, 8192 x 8192 px. A tile is decoded whole, whatever little of it is wanted."""

SAMPLED_TILES = 32
"""Of each level, that a slide is known by."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide, cut into tiles from its top left."""

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    """Of a whole tile, in pixels of this level; those at the right and lower edge may be cut."""
    factor: float
    """Level-0 pixels a pixel of this level."""


@dataclass(frozen=True, slots=True)
class SlideHeader:
    """What is known of a slide before any pixel is read."""

    levels: tuple[Level, ...]
    """Finest first; the first has the factor 1."""
    mpp: float | None
    notes: tuple[str, ...]


class SlideReader(Protocol):
    """An open slide. Safe between threads; closed by whoever lets go of it last."""

    @property
    def header(self) -> SlideHeader:
        """Read when it was opened."""
        ...

    def read_tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """Pixels of a tile as sRGB on white, shape (H, W, 3); at an edge it may be cut.

        What it raises is tried again with another reader of the file, as handles may break and
        network drives go away, unless it is a `DamagedTileError`.
        """
        ...

    def canonical(self) -> Iterator[bytes]:
        """What the slide is known by, the same wherever the file lies and whoever decodes it."""
        ...


class DamagedTileError(ImageError):
    """What was read of a tile cannot be decoded, and could not if it were read again."""


def check_tile_size(path: Path, width_px: int, height_px: int) -> None:
    """Refuse tiles that would fill the memory, before one is decoded.

    Raises
    ------
    ImageError
    """
    if width_px <= 0 or height_px <= 0 or width_px * height_px > MOST_TILE_PX:
        raise ImageError(
            f"{path.name} has tiles of {width_px} x {height_px} px; expected at most "
            f"{MOST_TILE_PX // 1_000_000} million pixels. Export it with tiles of 512 px."
        )


def sampled(level: Level) -> Iterator[tuple[int, int]]:
    """Columns and rows of the tiles of a level that a slide is known by, spread evenly."""
    across, down = (
        -(-level.width_px // level.tile_width_px),
        -(-level.height_px // level.tile_height_px),
    )
    last = across * down - 1
    for index in dict.fromkeys(last * i // (SAMPLED_TILES - 1) for i in range(SAMPLED_TILES)):
        row, column = divmod(index, across)
        yield column, row


def factor_of(sizes: Sequence[tuple[int, int]], level: int) -> float:
    """Level-0 pixels a pixel of a level, from sizes in pixels that were rounded.

    Writers halve and round. 100 000 px halved nine times are 195: the ratio of the sizes is 512.8,
    and the far end would lie 160 px off. So a whole number is taken that gives the size by rounding
    either way, a power of two if there is one; else the ratio.

    Parameters
    ----------
    sizes : sequence of tuple of int
        Width and height of each level, finest first.
    level : int
    """
    (width0, height0), (width, height) = sizes[0], sizes[level]
    ratio = max((width0 / width, width), (height0 / height, height), key=lambda r: r[1])[0]

    def fits(factor: int) -> bool:
        return abs(width0 / factor - width) < 1 and abs(height0 / factor - height) < 1

    power = 1
    while 2 * power <= ratio * 2**0.5:
        power *= 2
    for factor in (power, round(ratio)):
        if factor >= 1 and fits(factor):
            return float(factor)
    return ratio
