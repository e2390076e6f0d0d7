"""Masks as a hand draws them: strokes of a round brush, what a line encloses, one piece.

Pieces hang together by edges, as the rings of an exported outline do: pixels that touch by a corner
alone are two pieces.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.shapes.masks import Mask, in_common_crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box

    Place = tuple[float, float]

NOTHING = Mask(0, 0, 0, 0, ())
"""A mask of no pixel."""
THINNEST_PX = 1.0
"""Radius below which a stroke would fall apart between the centres of pixels."""


def segment_of_stroke(start_xy: Place, end_xy: Place, radius_px: float, within: Box) -> Mask:
    """The pixels whose centres a round brush passes on a straight way, its rim included.

    Parameters
    ----------
    start_xy, end_xy : tuple of float
        Level-0 px, corner origin; the same place for a dab.
    radius_px : float
        Of the brush; no less than `THINNEST_PX` is painted.
    within : Box
        Of the image: nothing is painted beyond.
    """
    radius_px = max(radius_px, THINNEST_PX)
    (x0, y0), (x1, y1) = start_xy, end_xy
    left, right = _pixels(min(x0, x1) - radius_px, max(x0, x1) + radius_px, within.x0, within.x1)
    top, bottom = _pixels(min(y0, y1) - radius_px, max(y0, y1) + radius_px, within.y0, within.y1)
    x = np.arange(left, right) + 0.5 - x0
    y = np.arange(top, bottom)[:, None] + 0.5 - y0
    dx, dy = x1 - x0, y1 - y0
    length_2 = dx * dx + dy * dy
    along = np.clip((x * dx + y * dy) / length_2, 0, 1) if length_2 else np.zeros(1)
    inside = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius_px**2
    return Mask.from_array(inside, left, top)


def _pixels(low: float, high: float, first: float, last: float) -> tuple[int, int]:
    """The whole pixels from `low` to `high` that lie within an image's side."""
    start = max(math.floor(low), math.floor(first))
    return start, max(min(math.ceil(high), math.ceil(last)), start)


def joined(one: Mask, other: Mask) -> Mask:
    """The pixels of either."""
    first, second, (x0_px, y0_px) = in_common_crop(one, other)
    return Mask.from_array(first | second, x0_px, y0_px)


def without(one: Mask, other: Mask) -> Mask:
    """The pixels of one that are not of the other."""
    first, second, (x0_px, y0_px) = in_common_crop(one, other)
    return Mask.from_array(first & ~second, x0_px, y0_px)


def have_common_pixels(one: Mask, other: Mask) -> bool:
    """Whether a pixel belongs to both."""
    first, second, _ = in_common_crop(one, other)
    return bool((first & second).any())


def filled(mask: Mask) -> Mask:
    """The same with what it encloses."""
    return Mask.from_array(scipy.ndimage.binary_fill_holes(mask.to_array()), mask.x0_px, mask.y0_px)


def piece_with(mask: Mask, x_px: float, y_px: float) -> Mask:
    """The piece in which a place lies; empty where it lies in none."""
    if not mask.covers(x_px, y_px):
        return NOTHING
    pieces, _ = scipy.ndimage.label(mask.to_array())
    number = pieces[math.floor(y_px) - mask.y0_px, math.floor(x_px) - mask.x0_px]
    return Mask.from_array(pieces == number, mask.x0_px, mask.y0_px)


def largest_piece(mask: Mask) -> Mask:
    """The piece with the most pixels; of pieces alike, the first from the top."""
    pieces, count = scipy.ndimage.label(mask.to_array())
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return Mask.from_array(pieces == 1 + int(sizes.argmax()), mask.x0_px, mask.y0_px)


def middle_of(mask: Mask) -> Place:
    """Its centroid, or, where that is not on it, the centre of its innermost pixel; x, y.

    Raises
    ------
    RecordError
        If the mask is empty.
    """
    centroid_xy = mask.centroid_xy
    if mask.covers(*centroid_xy):
        return centroid_xy
    depth: NDArray[np.float64] = scipy.ndimage.distance_transform_edt(np.pad(mask.to_array(), 1))
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return mask.x0_px + float(column) - 0.5, mask.y0_px + float(row) - 0.5


def line_through(corners_xy: Sequence[Place], within: Box) -> Mask:
    """The thinnest stroke through some places, in their order."""
    drawn = NOTHING
    for start, end in zip(corners_xy, [*corners_xy[1:], corners_xy[-1]], strict=True):
        drawn = joined(drawn, segment_of_stroke(start, end, THINNEST_PX, within))
    return drawn
