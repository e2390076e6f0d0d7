"""What becomes of a nucleus' outline by a stroke or a polygon of a person. Pure functions.

An outline is one piece and holds its nucleus' point. What a hand draws is made so where that is
plain, said where it changes more than was drawn, and refused where it cannot be meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.painting import (
    NOTHING,
    filled,
    have_common_pixels,
    joined,
    largest_piece,
    line_through,
    middle_of,
    piece_with,
    without,
)
from napari_nunext.core.shapes.polygons import mask_of_rings
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.table import NucleusTable
    from napari_nunext.store import Event

LARGEST_PX = 1024
"""Sides of an outline that is drawn by hand: beyond, drawing it would no longer be smooth."""

BEGIN_AT_POINT = "Begin on the nucleus' point, or paint all round it: its outline has to hold it."
APART = "The stroke does not touch the outline: begin it there."
NOTHING_TO_ERASE = "This nucleus has no outline yet: there is nothing to take away."
NO_PIXEL = "The polygon holds no pixel of the image: put its corners further apart."
TOO_LARGE = f"No nucleus is larger than {LARGEST_PX} px: Backspace takes corners back."
OF_ANOTHER = (
    "That would hold the point of another nucleus and not that of the selected one: "
    "click on the nucleus that you mean first."
)
ALL_ERASED = "All of the outline is erased: the nucleus stays as a point without one."
ONE_PIECE = "An outline is one piece: what does not hang together with it was left out."
POINT_MOVED = "The nucleus' point was moved into its new outline."
OVERLAPS = "It overlaps the outline of a neighbour, which keeps all of its pixels."


@dataclass(frozen=True, slots=True)
class Redrawn:
    """What a stroke or a polygon comes to."""

    gesture: tuple[Event, ...] = ()
    """To commit; empty where the outline stays as it was."""
    words: str = ""
    """What the person has to know; often nothing."""
    refused: bool = False
    """Whether it cannot be meant as it was drawn."""


def refusal(words: str) -> Redrawn:
    """Nothing changes, and why."""
    return Redrawn(words=words, refused=True)


@dataclass(frozen=True, slots=True)
class Redrawing:
    """One nucleus whose outline is drawn by hand."""

    image_sha256: str
    image: Box
    """All of the image, level-0 px."""
    table: NucleusTable
    """All nuclei of the image as they stand."""
    nucleus: Nucleus
    """One of them."""

    def painted(self, stroke: Mask) -> Redrawn:
        """Add a stroke, and what it encloses; begin an outline where there is none."""
        stroke, old = filled(stroke), self.nucleus.mask or NOTHING
        drawn = joined(old, stroke)
        kept = piece_with(drawn, self.nucleus.x_px, self.nucleus.y_px)
        if not kept.area_px and old.area_px:  # a model's outline may leave its point out
            kept = piece_with(drawn, *middle_of(largest_piece(old)))
        if not kept.area_px:
            return refusal(BEGIN_AT_POINT)
        if not have_common_pixels(kept, stroke):
            return refusal(APART)
        return self._becomes(drawn, kept)

    def erased(self, stroke: Mask) -> Redrawn:
        """Take a stroke away."""
        old = self.nucleus.mask or NOTHING
        if not old.area_px:
            return refusal(NOTHING_TO_ERASE)
        if not have_common_pixels(old, stroke):
            return Redrawn()
        left = without(old, stroke)
        if not left.area_px:
            gone = events.edit_mask(self.image_sha256, self.nucleus.uid, None)
            return Redrawn((gone,), ALL_ERASED)
        return self._becomes(left, self._piece_of(left))

    def enclosed(self, corners_xy: Sequence[tuple[float, float]]) -> Redrawn:
        """Make all that a polygon's line encloses within the image the outline."""
        if is_too_large(corners_xy):
            return refusal(TOO_LARGE)
        drawn = enclosed_by(corners_xy, self.image)
        if not drawn.area_px:
            return refusal(NO_PIXEL)
        return self._becomes(drawn, self._piece_of(drawn))

    def _piece_of(self, drawn: Mask) -> Mask:
        """The piece at the nucleus' point, or else the largest."""
        here = piece_with(drawn, self.nucleus.x_px, self.nucleus.y_px)
        return here if here.area_px else largest_piece(drawn)

    def _becomes(self, drawn: Mask, kept: Mask) -> Redrawn:
        """Of what was drawn, one piece becomes the outline, and the point goes with it."""
        n, words, gesture = self.nucleus, [], []
        if kept == n.mask:
            return Redrawn()
        neighbours = self._neighbours_of(kept)
        if kept.area_px < drawn.area_px:
            words.append(ONE_PIECE)
        if not kept.covers(n.x_px, n.y_px):
            if any(kept.covers(o.x_px, o.y_px) for o in neighbours):
                return refusal(OF_ANOTHER)
            gesture.append(events.move(self.image_sha256, n.uid, *middle_of(kept)))
            words.append(POINT_MOVED)
        gesture.append(events.edit_mask(self.image_sha256, n.uid, kept))
        added = kept if n.mask is None else without(kept, n.mask)
        if any(o.mask is not None and have_common_pixels(added, o.mask) for o in neighbours):
            words.append(OVERLAPS)
        return Redrawn(events.grouped(gesture), " ".join(words))

    def _neighbours_of(self, mask: Mask) -> list[Nucleus]:
        """The other nuclei that stand with their point, or part of their outline, in its box."""
        table, (x, y) = self.table, self.table.points_xy.T
        left, top = mask.x0_px, mask.y0_px
        right, bottom = left + mask.width_px, top + mask.height_px
        x0, y0, x1, y1 = table.mask_boxes_px.T
        is_near = (x0 < right) & (x1 > left) & (y0 < bottom) & (y1 > top)
        is_near |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
        there = (n.nucleus for n in table.nuclei_at(np.flatnonzero(is_near & ~table.rejected)))
        return [n for n in there if n.uid != self.nucleus.uid]


def room_for(nucleus: Nucleus, image: Box) -> Box:
    """Where a brush paints: in the image, around the nucleus."""
    x_px, y_px, half_px = nucleus.x_px, nucleus.y_px, LARGEST_PX / 2
    around = Box(x_px - half_px, y_px - half_px, x_px + half_px, y_px + half_px)
    return around.clipped_to(image)


def is_too_large(corners_xy: Sequence[tuple[float, float]]) -> bool:
    """Whether no nucleus spans as much."""
    low_xy, high_xy = np.min(corners_xy, axis=0), np.max(corners_xy, axis=0)
    return bool((high_xy - low_xy > LARGEST_PX).any())


def enclosed_by(corners_xy: Sequence[tuple[float, float]], image: Box) -> Mask:
    """The pixels of the image that the line of a polygon encloses, however it crosses itself."""
    drawn = filled(mask_of_rings([corners_xy], overlaid=True))
    return drawn.clipped_to(round(image.width), round(image.height))


def outlined_by(corners_xy: Sequence[tuple[float, float]], image: Box) -> Mask:
    """A polygon while it is drawn: what it encloses, and its line where that is nothing yet."""
    if is_too_large(corners_xy):
        return NOTHING
    line = line_through(corners_xy, image) if len(corners_xy) < 3 else NOTHING
    return joined(enclosed_by(corners_xy, image), line)
