"""Windows over a region.

A region is covered by windows of the model's size that overlap by twice the halo. The *cores* of
the windows partition the region: a nucleus belongs to the window whose core contains it. What
several windows see is the business of `napari_nunext.core.seams`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, overload

import numpy as np

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.shapes.regions import edges_in, inside_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.area import Area

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
        return self.core.grown(margin_px).clipped_to(self.box)


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
        self._seams_x = [stop for _, _, stop in columns[:-1]]
        self._seams_y = [stop for _, _, stop in rows[:-1]]
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
        columns = np.searchsorted(self._seams_x, points_xy[:, 0], side="right")
        rows = np.searchsorted(self._seams_y, points_xy[:, 1], side="right")
        return np.asarray(rows * len(self._columns) + columns, dtype=np.intp)

    def touching(self, box: Box) -> list[int]:
        """Windows whose cores touch a box, row by row; beyond the grid, those at its edge."""
        columns = range(bisect_left(self._seams_x, box.x0), bisect_right(self._seams_x, box.x1) + 1)
        rows = range(bisect_left(self._seams_y, box.y0), bisect_right(self._seams_y, box.y1) + 1)
        return [row * len(self._columns) + column for row in rows for column in columns]

    def beyond(self, area: Area) -> frozenset[int]:
        """Windows in whose cores nothing of an area lies; in doubt a window is not among them."""
        if area.is_everything or not len(self):
            return frozenset()
        centres = self._centres()
        wanted = inside_any(centres, area.within) if area.within else np.ones(len(self), bool)
        gone = inside_any(centres, area.without)
        gone[self._along(area.without)] = False
        wanted[self._along(area.within)] = True
        return frozenset(np.flatnonzero(gone | ~wanted).tolist())

    def _centres(self) -> PointsXY:
        """Middles of the cores, in the windows' order."""
        x, y = (
            np.array([(start + stop) / 2 for _, start, stop in spans])
            for spans in (self._columns, self._rows)
        )
        return np.stack((np.tile(x, len(y)), np.repeat(y, len(x))), axis=1)

    def _along(self, polygons_xy: Iterable[PointsXY]) -> NDArray[np.intp]:
        """Windows whose cores the lines of polygons touch, and some beside them."""
        spans = (*self._columns, *self._rows)
        step = max(min(stop - start for _, start, stop in spans) / 2, 1.0)
        (_, x0, _), (_, _, x1) = self._columns[0], self._columns[-1]
        (_, y0, _), (_, _, y1) = self._rows[0], self._rows[-1]
        cores = Box(x0, y0, x1, y1)
        touched = [np.empty(0, dtype=np.intp)]
        for polygon_xy in polygons_xy:
            start, along = edges_in(polygon_xy, cores.grown(step))
            counts = np.ceil(np.abs(along).max(axis=1, initial=0.0) / step).astype(np.intp) + 1
            part = np.concatenate([[], *(np.arange(n) / n for n in counts.tolist())])
            at = np.repeat(start, counts, axis=0)
            at = at + part[:, None] * np.repeat(along, counts, axis=0)
            # Two of them are less than a step apart: the squares round them hold all of the line.
            for corner in ((-step, -step), (-step, step), (step, -step), (step, step)):
                touched.append(np.unique(self.holding(at + corner)))
        return np.unique(np.concatenate(touched))

    def nearest_first(self, xy: tuple[float, float]) -> Sequence[Window]:
        """The same windows, ordered by the distance of their cores' middles to a point.

        The order is made as far as somebody looks.
        """
        return self.without(frozenset(), near_xy=xy)

    def without(
        self, done: Collection[int], *, near_xy: tuple[float, float] | None = None
    ) -> Sequence[Window]:
        """The windows but those that are done, row by row, or nearest to a point first."""
        order = iter(range(len(self))) if near_xy is None else self._by_distance(*near_xy)
        left = (index for index in order if index not in done)
        return _Ordered(self, left, len(self) - len(done))

    def _by_distance(self, x: float, y: float) -> Iterator[int]:
        """Indices, nearest first: the nearest window of each row, and behind it the row's next."""
        across, down = _squared(self._columns, x), _squared(self._rows, y)
        heap = [(across[0][0] + down[0][0], 0, 0)] if across and down else []
        while heap:
            _, i, j = heapq.heappop(heap)
            yield down[i][1] * len(across) + across[j][1]
            if j + 1 < len(across):
                heapq.heappush(heap, (across[j + 1][0] + down[i][0], i, j + 1))
            if j == 0 and i + 1 < len(down):
                heapq.heappush(heap, (across[0][0] + down[i + 1][0], i + 1, 0))


class _Ordered(Sequence[Window]):
    """Windows of a grid in another order, which is remembered as far as somebody has looked."""

    def __init__(self, grid: WindowGrid, order: Iterator[int], length: int) -> None:
        self._grid = grid
        self._order = order
        self._length = length
        self._known: list[int] = []

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Window, ...]: ...

    def __getitem__(self, index: int | slice) -> Window | tuple[Window, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        self._known += itertools.islice(self._order, max(index + 1 - len(self._known), 0))
        return self._grid[self._known[index]]


def _squared(spans: Sequence[_Span], at: float) -> list[tuple[float, int]]:
    """Squared distance of each span's core to a coordinate, with its place; nearest first."""
    return sorted(
        (((start + stop) / 2 - at) ** 2, place) for place, (_, start, stop) in enumerate(spans)
    )


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
