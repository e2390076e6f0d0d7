"""From polygons to masks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.masks import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

MAX_SIDE_PX = 4096
"""No nucleus is larger; an outline of a piece of tissue is."""


def mask_of_rings(rings_xy: Sequence[ArrayLike]) -> Mask:
    """The pixels whose centres lie inside rings, by the even-odd rule.

    Parameters
    ----------
    rings_xy : sequence of array_like, shape (N, 2)
        Level-0 px, corner origin; closed or not. Outer rings and holes in any order. A centre on a
        left or upper edge is inside, on a right or lower edge outside.

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
    np.add.at(turns, (row, np.ceil(x - 0.5).astype(np.int64) - left), 1)
    return Mask.from_array(np.cumsum(turns, axis=1)[:, :-1] % 2 == 1, left, top)
