"""Label images of nuclei, painted tile by tile: no image is in the memory as a whole.

Pixels of the n-th nucleus that stands have the value n, which is its row among those of the CSV
table that nobody rejected. Later nuclei cover earlier ones. One without a mask is a dot of `DOT_UM`
across: label images know areas alone, and a place that is left out would be lost.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.store.exports.rows import places_standing_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from napari_nunext.store.exports.files import Exportable, ImageNuclei

DOT_UM = 2.0
STEP = 4
"""Between levels, as slide scanners have it."""
SMALLEST_PX = 1024
"""No level is made of one that fits into so many pixels each way."""


class LabelPainter:
    """Paints tiles of a label image, at full size or reduced.

    Attributes
    ----------
    width_px, height_px : int
        Of the image at full size.
    dots : int
        How many nuclei have no mask.
    """

    def __init__(
        self, nuclei: Collection[Exportable], width_px: int, height_px: int, mpp: float
    ) -> None:
        self.width_px, self.height_px = width_px, height_px
        points_xy, self._masks = places_standing_in(nuclei)
        self._dot = _disc(DOT_UM / 2 / mpp)
        drawn = self._masks.drawn
        self.dots = int((~drawn).sum())
        corners = np.floor(points_xy).astype(np.int64) - np.array(self._dot.shape[::-1]) // 2
        boxes = np.column_stack((corners, corners + self._dot.shape[::-1]))
        self._boxes = np.where(drawn[:, None], self._masks.boxes_px, boxes)
        self._drawn = drawn

    @property
    def count(self) -> int:
        """The highest label."""
        return len(self._boxes)

    def factors(self) -> list[int]:
        """How many times smaller each level is than the image, along one side; the first is 1."""
        factors = [1]
        while max(self.width_px, self.height_px) / factors[-1] > SMALLEST_PX:
            factors.append(factors[-1] * STEP)
        return factors

    def size_px(self, factor: int) -> tuple[int, int]:
        """Width and height of a level."""
        return math.ceil(self.width_px / factor), math.ceil(self.height_px / factor)

    def tiles(
        self, factor: int, side_px: int
    ) -> Iterator[tuple[int, int, NDArray[np.uint32] | None]]:
        """Column, row and labels of each tile of a level, row by row; None where there are none.

        Parameters
        ----------
        factor : int
            Every so manieth pixel of the image is one of the level, along both sides.
        side_px : int
            Tiles are squares of it; those at the far edges are whole, too, with 0 beyond the image.
        """
        width_px, height_px = self.size_px(factor)
        step = side_px * factor
        left, top, right, bottom = self._boxes.T
        for row in range(math.ceil(height_px / side_px)):
            inside = (top < (row + 1) * step) & (bottom > row * step)
            of_row = np.flatnonzero(inside)
            for column in range(math.ceil(width_px / side_px)):
                here = of_row[
                    (left[of_row] < (column + 1) * step) & (right[of_row] > column * step)
                ]
                yield column, row, self._tile(here, column, row, factor, side_px)

    def _tile(
        self, nuclei: NDArray[np.intp], column: int, row: int, factor: int, side_px: int
    ) -> NDArray[np.uint32] | None:
        if not len(nuclei):
            return None
        tile = np.zeros((side_px, side_px), dtype=np.uint32)
        width_px, height_px = self.size_px(factor)
        most_x, most_y = (
            min(side_px, size - place * side_px)
            for size, place in ((width_px, column), (height_px, row))
        )
        for at in nuclei.tolist():
            x0, y0 = self._boxes[at, :2].tolist()
            pixels = self._pixels(at)[-y0 % factor :: factor, -x0 % factor :: factor]
            x = -(-x0 // factor) - column * side_px
            y = -(-y0 // factor) - row * side_px
            cut_x, cut_y = max(-x, 0), max(-y, 0)
            part = tile[max(y, 0) : most_y, max(x, 0) : most_x]
            pixels = pixels[cut_y : cut_y + part.shape[0], cut_x : cut_x + part.shape[1]]
            part[: pixels.shape[0], : pixels.shape[1]][pixels] = at + 1
        return tile

    def _pixels(self, at: int) -> NDArray[np.bool_]:
        mask = self._masks[at] if self._drawn[at] else None
        return self._dot if mask is None else mask.to_array()


def painter_of(image: ImageNuclei) -> LabelPainter:
    """For the nuclei of an image that stand."""
    entry = image.entry
    return LabelPainter(image.nuclei, entry.width_px, entry.height_px, entry.mpp)


def left_out_words(painter: LabelPainter) -> str:
    """What a label image of these has no room for."""
    words = "label n is the n-th row of the table (CSV) that is not rejected"
    if painter.dots:
        words += f"; {nuclei_in_words(painter.dots)} without an outline are dots of {DOT_UM:g} um"
    return words


def _disc(radius_px: float) -> NDArray[np.bool_]:
    """Pixels whose centres lie within a radius of the middle one's; at least that one."""
    reach = math.floor(radius_px)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x**2 + y**2 <= radius_px**2)
