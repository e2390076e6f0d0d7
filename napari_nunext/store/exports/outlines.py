"""Masks as polygons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask


def polygons_of(mask: Mask) -> list[list[PointsXY]]:
    """The outlines of a mask: for each part its outer ring, then its holes.

    Rings are closed (the first point stands again at the end), level-0 pixels, corner origin, and
    run midway between the centres of pixels inside and outside. An empty mask has none.
    """
    from skimage.measure import find_contours  # heavy, and only masks need it

    if mask.area_px == 0:
        return []
    padded = np.zeros((mask.height_px + 2, mask.width_px + 2))
    padded[1:-1, 1:-1] = mask.to_array()
    # Array index (row, col) is a pixel's centre: + 0.5 to the corner origin, - 1 for the padding.
    offset_xy = (mask.x0_px - 0.5, mask.y0_px - 0.5)
    contours = find_contours(padded, 0.5)  # type: ignore[no-untyped-call]
    rings = [contour[:, ::-1] + offset_xy for contour in contours]
    # It goes clockwise (y down) around what is set, and the other way around holes.
    outer = [ring for ring in rings if signed_area(ring) > 0]
    polygons = [[ring] for ring in outer]
    for hole in (ring for ring in rings if signed_area(ring) < 0):
        # Rings never cross, so one point tells: the innermost outer ring around it owns the hole.
        owners = [i for i, ring in enumerate(outer) if _is_inside(hole[0], ring)]
        owner = min(owners, key=lambda i: abs(signed_area(outer[i])))
        polygons[owner].append(hole)
    return polygons


@dataclass(frozen=True, eq=False, slots=True)
class Rings:
    """Outlines of many masks: closed rings, one after another, of each mask as `polygons_of`."""

    corners_xy: PointsXY
    """Shape (V, 2), level-0 px, corner origin."""
    starts: NDArray[np.int64]
    """Where each ring begins, shape (R + 1,); the last is V."""
    mask: NDArray[np.int64]
    """The place of each ring's mask among those given, ascending, shape (R,)."""
    is_hole: NDArray[np.bool_]
    """Shape (R,)."""


# Of the square between four pixels' centres, by which of them are set (upper left 1, upper right 2,
# lower left 4, lower right 8): from which of its sides to which the outline runs, and the same of a
# second line. Pixels that touch by a corner are apart, as `skimage.measure.find_contours` has it.
_TOP, _LEFT, _BOTTOM, _RIGHT = range(4)
_ALL = 15
_WAYS = {
    1: (_TOP, _LEFT),
    2: (_RIGHT, _TOP),
    3: (_RIGHT, _LEFT),
    4: (_LEFT, _BOTTOM),
    5: (_TOP, _BOTTOM),
    6: (_RIGHT, _TOP),
    7: (_RIGHT, _BOTTOM),
    8: (_BOTTOM, _RIGHT),
    9: (_TOP, _LEFT),
    10: (_BOTTOM, _TOP),
    11: (_BOTTOM, _LEFT),
    12: (_LEFT, _RIGHT),
    13: (_TOP, _RIGHT),
    14: (_LEFT, _TOP),
}
_SECOND = {6: (_LEFT, _BOTTOM), 9: (_BOTTOM, _RIGHT)}
_SIDES = np.array(
    [
        [[ways.get(case, (0, 0))[end] for case in range(16)] for end in (0, 1)]
        for ways in (_WAYS, _SECOND)
    ]
)
"""By line, end and case."""
_HAS_TWO = np.isin(np.arange(16), list(_SECOND))
_X_OF_SIDE = np.array([0.5, 0.0, 0.5, 1.0])
_Y_OF_SIDE = np.array([0.0, 0.5, 1.0, 0.5])


def rings_of(masks: Sequence[Mask]) -> Rings:
    """The outlines of many masks at once: the very rings that `polygons_of` gives one by one.

    All are drawn into one image, as wide as the widest: give masks of about one size together.
    """
    height_px = np.array([mask.height_px for mask in masks], dtype=np.int64) + 2
    top = np.cumsum(height_px) - height_px
    across = max((mask.width_px for mask in masks), default=0) + 2
    drawn = _drawn(masks, top, across, int(height_px.sum()))
    case = drawn[: -across - 1].copy()  # of the square right of and below each pixel's centre
    case += 2 * drawn[1:-across]
    case += 4 * drawn[across:-1]
    case += 8 * drawn[across + 1 :]
    square = np.flatnonzero((case > 0) & (case < _ALL))
    case = case[square]
    # Row by row, as if each mask were looked through alone: this decides where rings begin.
    line = np.repeat(np.arange(len(case)), 1 + _HAS_TWO[case])
    is_second = np.append(False, line[1:] == line[:-1])[: len(line)].astype(np.int64)
    square, case = square[line], case[line]
    side = _SIDES[is_second, 1, case]
    line_at = np.empty(2 * len(drawn), dtype=np.int32)
    line_at[_crossing(square, across, _SIDES[is_second, 0, case])] = np.arange(len(line))
    ordered, starts = _followed(line_at[_crossing(square, across, side)])
    row, column = np.divmod(square, across)
    owner = np.searchsorted(top, row, side="right") - 1
    x0_px = np.array([mask.x0_px for mask in masks], dtype=np.int64)
    y0_px = np.array([mask.y0_px for mask in masks], dtype=np.int64)
    x_px = (x0_px[owner] + column) + (_X_OF_SIDE - 0.5)[side]
    y_px = (y0_px[owner] + row - top[owner]) + (_Y_OF_SIDE - 0.5)[side]
    corners_xy = np.stack((x_px[ordered], y_px[ordered]), axis=1)
    return Rings(corners_xy, starts, owner[ordered[starts[:-1]]], _run_left(corners_xy, starts))


def _drawn(
    masks: Sequence[Mask], top: NDArray[np.int64], across: int, rows: int
) -> NDArray[np.uint8]:
    """The masks below each other, each with a margin of one, row by row."""
    drawn = np.zeros((rows + 1) * across + 1, dtype=np.uint8)
    counts = np.fromiter(chain.from_iterable(mask.counts for mask in masks), dtype=np.int64)
    runs = np.array([len(mask.counts) for mask in masks], dtype=np.int64)
    number = np.arange(len(counts)) - np.repeat(np.cumsum(runs) - runs, runs)
    is_set = np.flatnonzero(np.repeat(number % 2 == 1, counts))
    height_px = np.array([mask.height_px for mask in masks], dtype=np.int64)
    held = height_px * np.array([mask.width_px for mask in masks], dtype=np.int64)
    end = np.cumsum(held)
    owner = np.searchsorted(end, is_set, side="right")
    column, row = np.divmod(is_set - (end - held)[owner], height_px[owner])
    drawn[(top[owner] + row + 1) * across + column + 1] = 1
    return drawn


def _crossing(square: NDArray[np.int64], across: int, side: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each side of a square, the same for both squares that it is a side of."""
    beside: NDArray[np.int64] = np.array([0, 1, 2 * across, 3])[side]
    return 2 * square + beside


def _run_left(corners_xy: PointsXY, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each closed ring whether it runs round a hole."""
    if len(starts) == 1:
        return np.zeros(0, dtype=bool)
    x, y = corners_xy[:, 0], corners_xy[:, 1]
    turns = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0.0)
    turns[starts[1:] - 1] = 0.0  # from one ring to the next
    runs_left: NDArray[np.bool_] = np.add.reduceat(turns, starts[:-1]) < 0
    return runs_left


def _followed(
    following: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lines in the order of their rings, each ring's last one first and again at its end.

    Rings come in the order of their first lines. With where each begins, and where the last ends.
    Each round looks twice as far ahead: steps one by one would take longer than all the rest.
    """
    numbers = np.arange(len(following), dtype=np.int32)
    last, far = numbers, following
    while not np.array_equal(farther := np.maximum(last, last[far]), last):
        last, far = farther, far[far]
    is_last = last == numbers
    left = (~is_last).astype(np.int32)
    """Steps to the ring's last line."""
    far = np.where(is_last, numbers, following)
    while not np.array_equal(far, last):
        left, far = left + left[far], far[far]
    first = np.empty_like(numbers)
    first[last[::-1]] = numbers[::-1]  # the smallest is written last
    ends = np.flatnonzero(is_last)
    ends = ends[np.argsort(first[ends])]
    length = left[following[ends]] + 1
    starts = np.append(0, np.cumsum(length + 1, dtype=np.int64))
    stop = np.empty(len(numbers), dtype=np.int64)
    stop[ends] = starts[1:] - 1
    ordered = np.empty(int(starts[-1]), dtype=np.int64)
    ordered[stop[last] - left] = numbers
    ordered[starts[:-1]] = ends
    return ordered, starts


def signed_area(ring_xy: PointsXY) -> float:
    """Shoelace area of a closed ring, px squared; the sign tells its direction."""
    x, y = ring_xy[:, 0], ring_xy[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def _is_inside(point_xy: PointsXY, ring_xy: PointsXY) -> bool:
    """Even-odd rule: whether a ray to the right crosses the ring an odd number of times."""
    x, y = point_xy
    x0, y0 = ring_xy[:-1].T
    x1, y1 = ring_xy[1:].T
    spans = (y0 > y) != (y1 > y)
    x_cross = x0[spans] + (y - y0[spans]) * (x1[spans] - x0[spans]) / (y1[spans] - y0[spans])
    return bool(np.count_nonzero(x_cross > x) % 2)
