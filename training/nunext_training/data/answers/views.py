"""Views of a picture with boxes: parts of it, turned, so that a few pictures go further (ours).

Tissue has no up and down; words such as "left" have. So only pictures have views whose right answer
is boxes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.geometry import Box
from napari_nunext.images.picture import oriented

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SIDE = 0.6
"""Of a picture's sides, that a part has."""
SLIVER = 0.25
"""Of a box: where less of it is seen, nobody knows whether to name it; there is no such view."""
_TRIES = 50


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, and how it is turned."""

    region: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the picture, px."""
    orientation: int = 1
    """1 to 8, as EXIF has them and `napari_nunext.images.picture.oriented` turns; 1: as it is."""

    @property
    def extent(self) -> Box:
        """Of what is shown, px; begins at (0, 0)."""
        x0, y0, x1, y1 = self.region
        sides = (x1 - x0, y1 - y0)
        return Box.of_image(*(sides[::-1] if self.orientation >= 5 else sides))

    def seen(self, box: Box) -> Box:
        """What is seen of a box, px of the picture; without width or height where nothing is."""
        return box.clipped_to(Box(*map(float, self.region)))

    def place(self, box: Box) -> Box:
        """Where a box of the picture lies in what is shown, px; it need not be inside."""
        left, top = self.region[:2]
        (x0, x1), (y0, y1) = (box.x0 - left, box.x1 - left), (box.y0 - top, box.y1 - top)
        extent = self.extent
        if self.orientation >= 5:
            (x0, x1), (y0, y1) = (y0, y1), (x0, x1)
        if self.orientation in (2, 3, 6, 7):
            x0, x1 = extent.x1 - x1, extent.x1 - x0
        if self.orientation in (3, 4, 7, 8):
            y0, y1 = extent.y1 - y1, extent.y1 - y0
        return Box(x0, y0, x1, y1)

    def of(self, picture: Image.Image) -> Image.Image:
        """What is shown."""
        rgb = np.asarray(picture.convert("RGB").crop(self.region))
        return Image.fromarray(oriented(rgb, self.orientation))


def draw_views(
    extent: Box, boxes: Sequence[Box], count: int, rng: np.random.Generator
) -> tuple[View, ...]:
    """So many views, by lot: parts of `LEAST_SIDE` to all of the sides, in any of eight ways.

    Parameters
    ----------
    extent : Box
        Of the picture, px; begins at (0, 0).
    boxes : sequence of Box
        Of the right answer, px.
    count : int
    rng : numpy.random.Generator
    """
    return tuple(_draw(extent, boxes, rng) for _ in range(count))


def _draw(extent: Box, boxes: Sequence[Box], rng: np.random.Generator) -> View:
    whole = (0, 0, int(extent.width), int(extent.height))
    orientation = int(rng.integers(1, 9))
    for _ in range(_TRIES):
        share = rng.uniform(LEAST_SIDE, 1)
        width, height = (max(1, round(side * share)) for side in whole[2:])
        x0, y0 = int(rng.integers(whole[2] - width + 1)), int(rng.integers(whole[3] - height + 1))
        view = View((x0, y0, x0 + width, y0 + height), orientation)
        if not any(_is_sliver(view, box) for box in boxes):
            return view
    return View(whole, orientation)


def _is_sliver(view: View, box: Box) -> bool:
    seen = view.seen(box)
    return 0 < seen.width * seen.height < SLIVER * box.width * box.height
