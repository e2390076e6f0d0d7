"""What happens where windows overlap: one nucleus, seen by several.

Two windows may place one nucleus on different sides of their seam, so each may speak for a margin
of half the merging radius beyond its core, and points of different windows closer than the radius
are one nucleus. Then no nucleus is lost (both windows would have to place it beyond the other's
margin, further apart than the radius) and none is counted twice.

Which of two sightings stands depends on those near it alone. So a point is settled for good once
the windows around it have ended, long before the last window of a slide.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box, as_points_xy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.tiling import WindowGrid


@dataclass(frozen=True, slots=True)
class SeamChange:
    """What to show and what to hide, by the running index that each point received."""

    shown: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    settled: tuple[int, ...] = ()
    """Points that stand for good: no window to come can hide them."""


def reach_px(radius_px: float) -> float:
    """How far from a point a window may have its core and report the point, or a rival of it.

    It speaks for half the merging radius beyond its core; the rest is for rounding.
    """
    return 1.5 * radius_px + 1e-6


def near_seams(points_xy: PointsXY, grid: WindowGrid, radius_px: float) -> NDArray[np.bool_]:
    """Which points other windows may report too, or a rival of them; shape (N,).

    Nothing that happens in another window changes the others.
    """
    reach = reach_px(radius_px)
    corners = (np.array(signs) * reach for signs in product((-1, 1), repeat=2))
    first, *others = (grid.holding(points_xy + corner) for corner in corners)
    near: NDArray[np.bool_] = np.any([first != other for other in others], axis=0)
    return near


class SeamMerger:
    """Merge the points of overlapping windows while they arrive.

    Points get running indices 0, 1, ... in the order they are added. While points stream in, each
    decision is made at once. It is made for good when all that could change it is there: surest
    first (ties: earlier window, then position), so that the result does not depend on the order in
    which the windows were decoded.

    Parameters
    ----------
    radius_px : float
        Points of different windows closer than this (level-0 px) are one nucleus. Points of one
        window are never merged: that two nuclei lie so close is then what the model says.
    grid : WindowGrid, optional
        The windows, which then report no point beyond ``Window.speaks_for(radius_px / 2)``. Without
        it nothing is settled before `settle`.
    """

    def __init__(self, radius_px: float, grid: WindowGrid | None = None) -> None:
        self._radius_px = radius_px
        self._grid = grid
        self._reach_px = reach_px(radius_px)
        self._cells: dict[tuple[int, int], list[int]] = defaultdict(list)
        """Points that may have rivals."""
        self._points: list[tuple[float, float]] = []
        self._confidence: list[float] = []
        self._window: list[int] = []
        self._visible: list[bool] = []
        self._open: dict[int, int] = {}
        """Points that are not settled, each with how many windows to hear before it can be."""
        self._awaiting: dict[int, list[int]] = defaultdict(list)
        """By window, the open points that wait for its end."""
        self._ended: set[int] = set()

    def __len__(self) -> int:
        return len(self._points)

    def add(
        self, window_index: int, points_xy: PointsXY, confidence: Sequence[float]
    ) -> SeamChange:
        """Take points of a window (level-0 px, shape (N, 2)) and say what changes."""
        shown: list[int] = []
        hidden: list[int] = []
        settled: list[int] = []
        for (x, y), sure in zip(as_points_xy(points_xy).tolist(), confidence, strict=True):
            index = len(self._points)
            self._points.append((x, y))
            self._confidence.append(float(sure))
            self._window.append(window_index)
            seen_by = self._seen_by(x, y)
            if seen_by == [window_index]:
                self._visible.append(True)
                shown.append(index)
                settled.append(index)
                continue
            rivals = [j for j in self._rivals(index) if self._visible[j]]
            wins = all(self._confidence[j] < sure for j in rivals)
            self._visible.append(wins)
            self._cells[self._cell(x, y)].append(index)
            self._wait(index, seen_by)
            if wins:
                shown.append(index)
                hidden += rivals
                for j in rivals:
                    self._visible[j] = False
        return SeamChange(tuple(shown), tuple(hidden), tuple(settled))

    def end(self, window_index: int) -> SeamChange:
        """A window has told all: say what changes, and what of its surroundings is settled."""
        self._ended.add(window_index)
        heard = []
        for i in self._awaiting.pop(window_index, ()):
            self._open[i] -= 1
            if self._open[i] == 0:
                heard.append(i)
        return self._decide(heard)

    def settle(self) -> SeamChange:
        """Nothing more is to come: decide what is open.

        Returns
        -------
        SeamChange
            The difference to what was said so far; nearly always nothing is shown or hidden.
        """
        self._awaiting.clear()
        self._open = dict.fromkeys(self._open, 0)
        return self._decide(sorted(self._open, key=self._rank, reverse=True))

    def visible(self) -> tuple[int, ...]:
        """Indices of the points that stand, ascending."""
        return tuple(i for i, visible in enumerate(self._visible) if visible)

    def _decide(self, heard: list[int]) -> SeamChange:
        """Decide for good about points of which all rivals are known, the last of the list first.

        One with a surer rival that is open waits, and is taken up when that one is decided.
        """
        shown: list[int] = []
        hidden: list[int] = []
        settled: list[int] = []
        while heard:
            i = heard.pop()
            if self._open.get(i) != 0:
                continue
            rivals = self._rivals(i)
            surer = [j for j in rivals if self._rank(j) < self._rank(i)]
            if any(j in self._open for j in surer):
                continue
            del self._open[i]
            if any(self._visible[j] for j in surer):
                if self._visible[i]:
                    hidden.append(i)
                self._visible[i] = False
            else:
                if not self._visible[i]:
                    shown.append(i)
                self._visible[i] = True
                settled.append(i)
                losers = [j for j in rivals if self._visible[j]]
                hidden += losers
                for j in losers:
                    self._visible[j] = False
            heard += [j for j in rivals if j in self._open]
        return SeamChange(tuple(shown), tuple(hidden), tuple(settled))

    def _seen_by(self, x: float, y: float) -> list[int] | None:
        """Windows that may report what lies here; None where windows are not known."""
        if self._grid is None:
            return None
        return self._grid.touching(Box(x, y, x, y).grown(self._reach_px))

    def _wait(self, index: int, seen_by: list[int] | None) -> None:
        """Leave a point open until those windows have ended; without them, until the end."""
        missing = [w for w in seen_by or () if w not in self._ended]
        self._open[index] = len(missing) or 1
        for window_index in missing:
            self._awaiting[window_index].append(index)

    def _rank(self, index: int) -> tuple[float, int, tuple[float, float]]:
        """Surest first."""
        return -self._confidence[index], self._window[index], self._points[index]

    def _rivals(self, index: int) -> list[int]:
        """Sightings by other windows of what may be the same nucleus."""
        (x, y), window_index = self._points[index], self._window[index]
        column, row = self._cell(x, y)
        return [
            j
            for r in (row - 1, row, row + 1)
            for c in (column - 1, column, column + 1)
            for j in self._cells.get((c, r), ())
            if self._window[j] != window_index
            and math.dist(self._points[j], (x, y)) < self._radius_px
        ]

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        size = max(self._radius_px, 1e-9)
        return math.floor(x / size), math.floor(y / size)
