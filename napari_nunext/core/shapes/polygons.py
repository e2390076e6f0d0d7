"""From polygons to masks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

MAX_SIDE_PX = 4096
"""No nucleus is larger; an outline of a piece of tissue is."""


def mask_of_rings(rings_xy: Sequence[ArrayLike], *, overlaid: bool = False) -> Mask:
    """The pixels whose centres lie inside rings, by the even-odd rule.

    Parameters
    ----------
    rings_xy : sequence of array_like, shape (N, 2)
        Level-0 px, corner origin; closed or not. Outer rings and holes in any order. A centre on a
        left or upper edge is inside, on a right or lower edge outside.
    overlaid : bool
        Where a ring runs round a centre twice it is inside too, not in a hole: the non-zero rule,
        for a line that a hand drew and that may cross itself.

    Returns
    -------
    Mask
        Empty for fewer than three corners, or where no centre lies inside.

    Raises
    ------
    RecordError
        If the rings are not finite pairs, or span more than `MAX_SIDE_PX`.
    """
    starts, ends = [], []
    for ring in rings_xy:
        corners = np.asarray(ring, dtype=np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all():
            raise RecordError(f"A ring has shape {corners.shape}; expected finite (N, 2).")
        starts.append(corners)
        ends.append(np.roll(corners, -1, axis=0))
    if not starts:
        return Mask(0, 0, 0, 0, ())
    start, end = np.concatenate(starts), np.concatenate(ends)
    if len(start) == 0:
        return Mask(0, 0, 0, 0, ())
    left, top = (math.floor(v) for v in start.min(axis=0))
    right, bottom = (math.ceil(v) for v in start.max(axis=0))
    if max(right - left, bottom - top) > MAX_SIDE_PX:
        raise RecordError(
            f"A polygon spans {right - left} x {bottom - top} px; expected a nucleus, at most "
            f"{MAX_SIDE_PX} px. Leave out the outlines of tissue."
        )
    centres = np.arange(top, bottom) + 0.5
    crosses = (start[:, 1:] <= centres) != (end[:, 1:] <= centres)
    edge, row = np.nonzero(crosses)
    (x0, y0), (x1, y1) = start[edge].T, end[edge].T
    x = x0 + (centres[row] - y0) * (x1 - x0) / (y1 - y0)
    # Every crossing turns inside into outside from the first centre at or beyond it.
    turns = np.zeros((bottom - top, right - left + 1), dtype=np.int64)
    turn = np.where(y1 > y0, 1, -1) if overlaid else 1
    np.add.at(turns, (row, np.ceil(x - 0.5).astype(np.int64) - left), turn)
    rounds = np.cumsum(turns, axis=1)[:, :-1]
    return Mask.from_array(rounds != 0 if overlaid else rounds % 2 == 1, left, top)


def centroid_of(parts: list[list[list[tuple[float, float]]]]) -> tuple[float, float, float]:
    """Centroid x, y and area of an outline: outer rings count, holes count against it.

    Parameters
    ----------
    parts : list
        Of each part its outer ring, then its holes; none is empty. Closed or not.
    """
    area = moment_x = moment_y = 0.0
    for rings in parts:
        for i, ring in enumerate(rings):
            ring_area, ring_x, ring_y = _moments(ring)
            sign = math.copysign(1.0, ring_area) * (1.0 if i == 0 else -1.0)
            area += sign * ring_area
            moment_x += sign * ring_x
            moment_y += sign * ring_y
    if area <= 1e-9:  # a line or a point drawn as a polygon
        corners = [corner for rings in parts for ring in rings for corner in ring]
        n = len(corners)
        return sum(x for x, _ in corners) / n, sum(y for _, y in corners) / n, 0.0
    return moment_x / area, moment_y / area, area


def _moments(ring: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Signed area of a ring and its first moments in x and y (Green's theorem)."""
    ox, oy = ring[0]  # near the ring, so that a far corner of a slide costs no precision
    area = moment_x = moment_y = 0.0
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        cross = (x0 - ox) * (y1 - oy) - (x1 - ox) * (y0 - oy)
        area += cross / 2
        moment_x += cross * (x0 + x1 - 2 * ox) / 6
        moment_y += cross * (y0 + y1 - 2 * oy) / 6
    return area, moment_x + area * ox, moment_y + area * oy
