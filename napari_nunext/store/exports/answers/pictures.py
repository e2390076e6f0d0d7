"""The region that was asked about, as the image of a record."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.answers.budget import MOST_TOKENS, SentPicture
from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.image.part import part_for
from napari_nunext.store.exports.regions import crop_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.store.answers import Answer
    from napari_nunext.store.entries import ImageEntry

MOST_PX = 4096 * 4096
"""A region of more level-0 pixels is drawn in the size in which it was sent."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels of an image: at level 0 where they are `MOST_PX` or fewer."""

    entry: ImageEntry
    shown: SentPicture
    """What it shows, level-0 px, and its own size."""

    @classmethod
    def of(cls, entry: ImageEntry, answer: Answer) -> Picture:
        """The picture of what an answer is about.

        Whole pixels round the region, or the region as it was sent: in `MOST_TOKENS` image tokens
        where no picture was sent.

        Raises
        ------
        RecordError
            If the region holds nothing of the image.
        """
        region = answer.asked.region.clipped_to(entry.box)
        if not (region.width and region.height):
            raise RecordError(
                f"Answer {answer.answer_id} is about a place outside of its image, "
                f"{region.as_tuple()}. Take back what was said of it, and export again."
            )
        x0, y0 = np.floor([region.x0, region.y0]).tolist()
        x1, y1 = np.ceil([region.x1, region.y1]).tolist()
        crop = Box(x0, y0, x1, y1)
        if crop.width * crop.height <= MOST_PX:
            return cls(entry, SentPicture(crop, int(crop.width), int(crop.height)))
        if answer.asked.sent_px is None:
            return cls(entry, SentPicture.of(region, MOST_TOKENS))
        return cls(entry, SentPicture(region, *answer.asked.sent_px))

    @property
    def name(self) -> str:
        """File stem; that of a nuclei's region with the same pixels."""
        if self._is_whole:
            return crop_name(self.entry, self.shown.region)
        x0, y0, x1, y1 = self.shown.region.as_tuple()
        place = f"{x0:.2f}-{y0:.2f}-{x1 - x0:.2f}x{y1 - y0:.2f}"
        size = f"{self.shown.width_px}x{self.shown.height_px}"
        return f"{self.entry.sha256[:16]}-{place}-as-{size}"

    @property
    def _is_whole(self) -> bool:
        crop, shown = self.shown.region, self.shown
        return (crop.width, crop.height) == (shown.width_px, shown.height_px)

    @property
    def px_per_px(self) -> float:
        """Level-0 pixels that a pixel's side is long, the mean of both sides."""
        crop, shown = self.shown.region, self.shown
        return math.sqrt(crop.width * crop.height / (shown.width_px * shown.height_px))

    def box(self, box: Box) -> Box:
        """A box of the image, in pixels of the picture."""
        (x0, y0), (x1, y1) = self.points(np.array([[box.x0, box.y0], [box.x1, box.y1]])).tolist()
        return Box(x0, y0, x1, y1)

    def points(self, points_xy: PointsXY) -> PointsXY:
        """Points of the image, in pixels of the picture; shape (N, 2)."""
        return self.shown.from_level0(points_xy)

    def answer_box(self, box: AnswerBox) -> AnswerBox:
        """A box of an answer, in pixels of the picture."""
        return replace(box, box=self.box(box.box))

    def answer_boxes(self, boxes: Iterable[AnswerBox]) -> tuple[AnswerBox, ...]:
        """Boxes of an answer, in pixels of the picture, as far as they lie in it."""
        image = Box.of_image(self.shown.width_px, self.shown.height_px)
        cut = (replace(b, box=b.box.clipped_to(image)) for b in map(self.answer_box, boxes))
        return tuple(b for b in cut if b.box.width > 0 and b.box.height > 0)

    def draw(self, image: ImageSource) -> NDArray[np.uint8]:
        """Its pixels, shape (H, W, 3). Antialiased bicubic where it is no crop of level 0."""
        size_px = self.shown.width_px, self.shown.height_px
        if self._is_whole:
            return np.ascontiguousarray(image.read_region(self.shown.region))
        pixels, box = part_for(image, self.shown.region, *size_px)
        drawn = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(drawn.resize(size_px, Image.Resampling.BICUBIC, box=box))
