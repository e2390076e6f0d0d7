"""How dense the nuclei of a field lie: what is shown where single ones would be too many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.review.table import NucleusTable

MOST_CELLS = 512
"""Along the longer side of a field."""
BLUR_CELLS = (1.0, 4.0)
"""Least and most that a nucleus is spread, standard deviation."""
BLUR_NUCLEI = 8
"""As many lie in the mean where one is spread: of fewer, one more or less says nothing."""
UM2_PER_MM2 = 1e6


class Density:
    """Counts nuclei in square cells over a field, and keeps the count of those nobody touched.

    Parameters
    ----------
    box : Box
        The field, level-0 px.
    """

    def __init__(self, box: Box) -> None:
        self._box = box
        self.step_px = max(1, math.ceil(max(box.width, box.height) / MOST_CELLS))
        """Side of a cell, level-0 px."""
        self.shape = (
            max(1, math.ceil(box.height / self.step_px)),
            max(1, math.ceil(box.width / self.step_px)),
        )
        self._known: tuple[Any, ...] = ()
        self._counts = np.zeros(self.shape[0] * self.shape[1], dtype=np.int64)

    def per_mm2(
        self, table: NucleusTable, hidden: Collection[str], mpp: float
    ) -> NDArray[np.float32]:
        """Nuclei a square millimetre around each cell; rejected ones and hidden categories not."""
        counts = self._standing(table, set(hidden)).reshape(self.shape).astype(np.float32)
        area_mm2 = (self.step_px * mpp) ** 2 / UM2_PER_MM2
        blurred = scipy.ndimage.gaussian_filter(
            counts, _blur_cells(counts), mode="reflect"
        )  # none is lost
        return np.asarray(blurred / area_mm2, dtype=np.float32)

    def _standing(self, table: NucleusTable, hidden: set[str]) -> NDArray[np.int64]:
        ground, over = table.of.ground, table.over
        shown = np.array([name not in hidden for name in ground.called], dtype=bool)
        known = (ground.said.points_xy, ground.said.category, shown.tolist())
        if [*map(id, known[:2])] != [*map(id, self._known[:2])] or known[2:] != self._known[2:]:
            self._known = known  # kept, so that no other array gets its id
            self._counts = self._count(known[0][shown[known[1]]])
        rows = np.fromiter(table.of.changed, dtype=np.intp, count=len(table.of.changed))
        rows = rows[shown[ground.said.category[rows]]]
        stands = np.array([name not in hidden for name in over.names], dtype=bool)
        touched = over.points_xy[stands[over.category] & ~over.rejected]
        less, more = self._count(ground.said.points_xy[rows]), self._count(touched)
        return self._counts - less + more

    def _count(self, points_xy: PointsXY) -> NDArray[np.int64]:
        """Those in each cell, row by row; what lies beyond the field counts at its edge."""
        rows, columns = self.shape
        x, y = (
            np.clip((points_xy[:, side] - low) * (1 / self.step_px), 0, most - 1).astype(np.int32)
            for side, low, most in ((0, self._box.x0, columns), (1, self._box.y0, rows))
        )
        return np.bincount(y * columns + x, minlength=rows * columns)


def _blur_cells(counts: NDArray[np.float32]) -> float:
    """How far nuclei are spread: a Gaussian counts as much as a circle of 4 pi times its square."""
    in_a_cell = float(counts.mean())
    least, most = BLUR_CELLS
    if not in_a_cell:
        return least
    return min(max(math.sqrt(BLUR_NUCLEI / (4 * math.pi * in_a_cell)), least), most)
