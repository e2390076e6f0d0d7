"""The pixels that outlines are painted on: those of a tile, or of what is in view of a slide.

An array of a byte a pixel is 10 GB for a slide of 100,000 x 100,000 px. Of an image that is larger
than a tile only the view and a margin are painted, with pixels as large as the screen's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box
from napari_nunext.ui.canvas.layers import Patch

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PX = 1 << 24
"""Bytes that a sheet takes at most; images up to this size have one sheet, that is all of them."""
MARGIN = 0.25
"""Of the view's longer side, on each of its sides."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pixels over a part of an image."""

    image_px: tuple[int, int]
    """Height and width of the image."""
    x0_px: int
    y0_px: int
    step_px: int
    """Side of a pixel of the sheet, level-0 px; the corner lies on a multiple of it."""
    shape: tuple[int, int]
    """Height and width, in pixels of its own."""

    @classmethod
    def whole(cls, image_px: tuple[int, int]) -> Sheet:
        """All of an image, pixel by pixel."""
        return cls(image_px, 0, 0, 1, image_px)

    @classmethod
    def over(cls, box: Box, image_px: tuple[int, int], step_px: float) -> Sheet:
        """What of an image lies in a box; a pixel has at least this side, level-0 px."""
        height, width = image_px
        room = box.clipped_to(Box.of_image(width, height))
        least = max(step_px, math.sqrt(room.width * room.height / MOST_PX), 1.0)
        step = 2 ** math.ceil(math.log2(least))
        x0, y0 = int(room.x0) // step, int(room.y0) // step
        x1, y1 = math.ceil(room.x1 / step), math.ceil(room.y1 / step)
        shape = (max(y1 - y0, 1), max(x1 - x0, 1))
        return cls(image_px, x0 * step, y0 * step, step, shape)

    @property
    def is_whole(self) -> bool:
        """Whether its pixels are those of the image."""
        return self.shape == self.image_px and self.step_px == 1

    @property
    def patch(self) -> Patch:
        """Where it lies on the image."""
        return Patch(self.x0_px, self.y0_px, self.step_px)

    @property
    def box(self) -> Box:
        """The same, level-0 px."""
        height, width = (side * self.step_px for side in self.shape)
        return Box(self.x0_px, self.y0_px, self.x0_px + width, self.y0_px + height)

    def places(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where pixels of the image are painted, both row by row, and which of them are at all."""
        if self.is_whole:
            return pixels, np.ones(len(pixels), dtype=bool)
        rows, columns = np.divmod(pixels, self.image_px[1])
        rows, columns = (rows - self.y0_px) // self.step_px, (columns - self.x0_px) // self.step_px
        height, width = self.shape
        on_it = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return (rows * width + columns)[on_it], on_it

    def boxes(self, boxes_px: NDArray[np.int64]) -> NDArray[np.int64]:
        """Boxes x0, y0, x1, y1 of level-0 px as the pixels of the sheet that they reach into."""
        if self.is_whole:
            return boxes_px
        moved = boxes_px - np.array([self.x0_px, self.y0_px] * 2)
        moved[:, 2:] += self.step_px - 1
        return moved // self.step_px

    def reached_by(self, boxes_px: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which boxes reach into it."""
        if self.is_whole:
            return np.ones(len(boxes_px), dtype=bool)
        x0, y0, x1, y1 = self.boxes(boxes_px).T
        height, width = self.shape
        reached: NDArray[np.bool_] = (x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height)
        return reached


def sheet_for(
    image_px: tuple[int, int], view: Box | None, screen_px: float, before: Sheet | None
) -> Sheet:
    """The sheet for what is in view.

    Parameters
    ----------
    image_px : tuple of int
        Height and width of the image.
    view : Box or None
        Level-0 px; None where it is not known.
    screen_px : float
        Side of a pixel of the screen, level-0 px.
    before : Sheet or None
        Of the same image; it is kept while it covers the view as finely.
    """
    height, width = image_px
    if height * width <= MOST_PX:
        return Sheet.whole(image_px)
    shown = Box(0, 0, 0, 0) if view is None else view.clipped_to(Box.of_image(width, height))
    if before is not None and not shown.width * shown.height:
        return before
    margin_px = MARGIN * max(shown.width, shown.height)
    made = Sheet.over(shown.grown(margin_px), image_px, screen_px)
    if before is not None and before.step_px == made.step_px and before.box.covers(shown):
        return before
    return made
