"""Windows over a region, and what happens at their seams.

A region is covered by windows of the model's size that overlap by twice the halo. The *cores* of
the windows partition the region: a nucleus belongs to the window whose core contains it. Two
windows may place one nucleus on different sides of their seam, so each may speak for a margin of
half the merging radius beyond its core, and points of different windows closer than the radius are
one nucleus. Then no nucleus is lost (both windows would have to place it beyond the other's margin,
further apart than the radius) and none is counted twice.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, overload

import numpy as np
import scipy

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import Box, as_points_xy, check_mpp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY

_Span: TypeAlias = tuple[float, float, float]
"""Along one axis: where a window starts, and where its core starts and stops."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the model sees at once."""

    index: int
    box: Box
    """Level-0 pixels. May hang over the image's edge, where it is filled with white."""
    core: Box
    """The part whose nuclei are this window's. Cores partition the region."""
    side_px: int
    """Side of the window in the model's pixels."""

    @property
    def scale(self) -> float:
        """Level-0 pixels per window pixel."""
        return self.box.width / self.side_px

    def to_level0(self, points_xy: PointsXY) -> PointsXY:
        """Window pixels to level-0 pixels, shape (N, 2)."""
        return points_xy * self.scale + (self.box.x0, self.box.y0)

    def from_level0(self, points_xy: PointsXY) -> PointsXY:
        """Level-0 pixels to window pixels, shape (N, 2)."""
        return (points_xy - (self.box.x0, self.box.y0)) / self.scale

    def speaks_for(self, margin_px: float) -> Box:
        """The core grown by `margin_px`, but not beyond the window."""
        core = self.core
        grown = Box(
            core.x0 - margin_px, core.y0 - margin_px, core.x1 + margin_px, core.y1 + margin_px
        )
        return grown.clipped_to(self.box)


class WindowGrid(Sequence[Window]):
    """Windows in rows and columns, made when they are asked for: a slide has hundreds of thousands.

    Parameters
    ----------
    columns, rows : sequence of (float, float, float)
        Along x and along y: window start, core start and core stop, ascending, level-0 px. The
        cores of neighbours meet.
    box_px : float
        Side of every window, level-0 px.
    side_px : int
        The same in the model's pixels.
    """

    def __init__(
        self, columns: Sequence[_Span], rows: Sequence[_Span], *, box_px: float, side_px: int
    ) -> None:
        self._columns = columns
        self._rows = rows
        self._box_px = box_px
        self._side_px = side_px

    def __len__(self) -> int:
        return len(self._columns) * len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Window, ...]: ...

    def __getitem__(self, index: int | slice) -> Window | tuple[Window, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        row, column = divmod(index, len(self._columns))
        x, core_x0, core_x1 = self._columns[column]
        y, core_y0, core_y1 = self._rows[row]
        return Window(
            index=index,
            box=Box(x, y, x + self._box_px, y + self._box_px),
            core=Box(core_x0, core_y0, core_x1, core_y1),
            side_px=self._side_px,
        )

    def holding(self, points_xy: PointsXY) -> NDArray[np.intp]:
        """Index of the window in whose core each point lies, shape (N,).

        A point beyond all cores gets the nearest in its row and column. The grid is not empty.
        """
        seams_x = [stop for _, _, stop in self._columns[:-1]]
        seams_y = [stop for _, _, stop in self._rows[:-1]]
        columns = np.searchsorted(seams_x, points_xy[:, 0], side="right")
        rows = np.searchsorted(seams_y, points_xy[:, 1], side="right")
        return np.asarray(rows * len(self._columns) + columns, dtype=np.intp)


def plan_grid(
    region: Box, image: Box, *, window_px: int, window_mpp: float, halo_um: float, image_mpp: float
) -> WindowGrid:
    """Cover `region` with windows, row by row from the top left.

    Windows stay inside the image where it is large enough, take the image around the region as
    context, start at whole level-0 pixels, and are spread evenly rather than crowded at the end.

    Parameters
    ----------
    region : Box
        Level-0 pixels; the part of it inside the image is covered. Empty gives no window.
    image : Box
        The whole image.
    window_px : int
        Side of the window in the model's pixels.
    window_mpp, image_mpp : float
        Micrometres per pixel of the model's window and of level 0.
    halo_um : float
        Smallest distance from a core to the edge of its window, where there is image beyond.

    Raises
    ------
    CalibrationError
        If a scale is implausible, or the halo leaves no core.
    """
    side = window_px * check_mpp(window_mpp, "The model") / check_mpp(image_mpp)
    halo = halo_um / image_mpp
    if not 0 <= 2 * halo < side:
        raise CalibrationError(
            f"A halo of {halo_um:g} um does not fit into a window of "
            f"{window_px * window_mpp:g} um; expected less than half of it."
        )
    region = region.clipped_to(image)
    if region.width == 0 or region.height == 0:
        return WindowGrid((), (), box_px=side, side_px=window_px)
    columns = _spans(region.x0, region.x1, image.x0, image.x1, side, halo)
    rows = _spans(region.y0, region.y1, image.y0, image.y1, side, halo)
    return WindowGrid(columns, rows, box_px=side, side_px=window_px)


def plan_windows(
    region: Box, image: Box, *, window_px: int, window_mpp: float, halo_um: float, image_mpp: float
) -> tuple[Window, ...]:
    """All windows of `plan_grid`."""
    return tuple(
        plan_grid(
            region,
            image,
            window_px=window_px,
            window_mpp=window_mpp,
            halo_um=halo_um,
            image_mpp=image_mpp,
        )
    )


def _spans(
    start: float, stop: float, image_start: float, image_stop: float, side: float, halo: float
) -> list[_Span]:
    """Along one axis: window start, core start and core stop of each window."""
    first, last = max(start - halo, image_start), min(stop + halo, image_stop)
    extent = last - first
    earliest, latest = math.ceil(last - side), math.floor(first)
    if earliest <= latest:  # one window that starts at a whole pixel holds it all
        middle = (first + last - side) / 2
        inside = math.floor(min(max(middle, image_start), max(image_stop - side, image_start)))
        return [(float(min(max(inside, earliest), latest)), start, stop)]
    # Whole-pixel starts cost two neighbours up to two pixels of their overlap.
    stride = max(side - 2 * halo - 2, 1.0)
    count = max(2, 1 + math.ceil((extent - side) / stride))
    begins = [float(math.floor(first + i * (extent - side) / (count - 1))) for i in range(count)]
    begins[-1] = float(math.ceil(last - side))  # up, so that the region's end is covered
    seams = [(a + side + b) / 2 for a, b in itertools.pairwise(begins)]
    edges = [start, *seams, stop]
    return [(b, edges[i], edges[i + 1]) for i, b in enumerate(begins)]


@dataclass(frozen=True, slots=True)
class SeamChange:
    """What to show and what to hide, by the running index that each point received."""

    shown: tuple[int, ...]
    hidden: tuple[int, ...]


class SeamMerger:
    """Merge the points of overlapping windows while they arrive.

    Points get running indices 0, 1, ... in the order they are added. While points stream in, each
    decision is made at once; `settle` then decides over all of them, in order of confidence, so
    that the result does not depend on the order in which the windows were decoded.

    Parameters
    ----------
    radius_px : float
        Points of different windows closer than this (level-0 px) are one nucleus. Points of one
        window are never merged: that two nuclei lie so close is then what the model says.
    """

    def __init__(self, radius_px: float) -> None:
        self._radius_px = radius_px
        self._cells: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._points: list[tuple[float, float]] = []
        self._confidence: list[float] = []
        self._window: list[int] = []
        self._visible: list[bool] = []

    def __len__(self) -> int:
        return len(self._points)

    def add(
        self, window_index: int, points_xy: PointsXY, confidence: Sequence[float]
    ) -> SeamChange:
        """Take points of a window (level-0 px, shape (N, 2)) and say what changes."""
        shown: list[int] = []
        hidden: list[int] = []
        for (x, y), sure in zip(as_points_xy(points_xy).tolist(), confidence, strict=True):
            index = len(self._points)
            rivals = [
                j for j in self._near(x, y) if self._window[j] != window_index and self._visible[j]
            ]
            wins = all(self._confidence[j] < sure for j in rivals)
            self._points.append((x, y))
            self._confidence.append(float(sure))
            self._window.append(window_index)
            self._visible.append(wins)
            self._cells[self._cell(x, y)].append(index)
            if wins:
                shown.append(index)
                hidden += rivals
                for j in rivals:
                    self._visible[j] = False
        return SeamChange(tuple(shown), tuple(hidden))

    def settle(self) -> SeamChange:
        """Decide over all points, surest first (ties: earlier window, then position).

        Returns
        -------
        SeamChange
            The difference to what `add` has said so far; nearly always empty.
        """
        points = np.array(self._points).reshape(-1, 2)
        rivals: dict[int, list[int]] = defaultdict(list)
        if len(points):
            for i, j in scipy.spatial.cKDTree(points).query_pairs(self._radius_px):
                if self._window[i] != self._window[j] and self._is_near(i, *self._points[j]):
                    rivals[i].append(j)
                    rivals[j].append(i)
        keep = [True] * len(points)
        decided: set[int] = set()
        for i in sorted(rivals, key=lambda i: (-self._confidence[i], self._window[i], *points[i])):
            keep[i] = not any(j in decided and keep[j] for j in rivals[i])
            decided.add(i)
        changed = [i for i, visible in enumerate(self._visible) if visible != keep[i]]
        self._visible = keep
        return SeamChange(
            tuple(i for i in changed if keep[i]), tuple(i for i in changed if not keep[i])
        )

    def visible(self) -> tuple[int, ...]:
        """Indices of the points that stand, ascending."""
        return tuple(i for i, visible in enumerate(self._visible) if visible)

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        size = max(self._radius_px, 1e-9)
        return math.floor(x / size), math.floor(y / size)

    def _near(self, x: float, y: float) -> list[int]:
        column, row = self._cell(x, y)
        return [
            j
            for r in (row - 1, row, row + 1)
            for c in (column - 1, column, column + 1)
            for j in self._cells.get((c, r), ())
            if self._is_near(j, x, y)
        ]

    def _is_near(self, index: int, x: float, y: float) -> bool:
        px, py = self._points[index]
        return math.hypot(px - x, py - y) < self._radius_px
