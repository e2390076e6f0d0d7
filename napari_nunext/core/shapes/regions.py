"""Regions that people draw on an image: where to search, what to leave out, what to count.

A region is one polygon by the even-odd rule. A hole is part of its line: the line goes in along a
cut and comes back along it (`with_holes`), which costs neither area nor a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from uuid import UUID

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.shapes.masks import FARTHEST_PX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY

RegionKind: TypeAlias = Literal["search", "leave_out", "interest"]
KINDS: tuple[RegionKind, ...] = get_args(RegionKind)
KIND_WORDS: dict[RegionKind, str] = {
    "search": "Search here",
    "leave_out": "Leave out",
    "interest": "Region of interest",
}
"""What people read of each kind, and other programs' files too."""

MOST_CORNERS = 4000
"""Of one region: a line of more is made simpler before."""
LONGEST_NAME = 200
_STRIPS = 256
"""A polygon is measured in at least so many strips: where its line crosses itself, that decides."""


@dataclass(frozen=True, slots=True)
class Region:
    """A named part of an image.

    Raises
    ------
    RecordError
        If it has no name or an unknown kind, or is no polygon with an area.
    """

    uid: UUID
    name: str
    kind: RegionKind
    corners: tuple[tuple[float, float], ...]
    """x, y, level-0 px; the line from the last to the first closes it."""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > LONGEST_NAME:
            raise RecordError(f"A region needs a name of 1 to {LONGEST_NAME} letters.")
        if self.kind not in KINDS:
            raise RecordError(f"A region is {self.kind!r}; expected one of {', '.join(KINDS)}.")
        check_polygon(self.polygon_xy)

    @property
    def polygon_xy(self) -> PointsXY:
        """Its corners, shape (N, 2), not closed."""
        return np.array(self.corners, dtype=np.float64).reshape(-1, 2)

    @property
    def box(self) -> Box:
        """The box around it, level-0 px."""
        return box_around([self.polygon_xy])

    def area_um2(self, mpp: float) -> float:
        """Its area."""
        return area_px(self.polygon_xy) * mpp**2

    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which points lie in it, shape (N,)."""
        return inside(points_xy, self.polygon_xy)

    def to_json(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "id": str(self.uid),
            "name": self.name,
            "kind": self.kind,
            "polygon": [list(corner) for corner in self.corners],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Region:
        """The region that `to_json` wrote."""
        return region(
            data["name"], data["kind"], as_points_xy(data["polygon"]), uid=UUID(data["id"])
        )


def region(name: str, kind: RegionKind, polygon_xy: PointsXY, *, uid: UUID) -> Region:
    """A region of a polygon, closed or not, its corners rounded to a hundredth of a pixel."""
    return Region(uid, name, kind, corners_of(polygon_xy))


def corners_of(polygon_xy: PointsXY) -> tuple[tuple[float, float], ...]:
    """The corners of a polygon, without those that stand where the one before stands."""
    rounded = np.round(as_points_xy(polygon_xy), 2)
    keep = (rounded != np.roll(rounded, 1, axis=0)).any(axis=1)
    return tuple((float(x), float(y)) for x, y in rounded[keep])


def check_polygon(polygon_xy: PointsXY) -> None:
    """Raise `RecordError` unless a polygon has an area, not too many corners, and is near."""
    if not 3 <= len(polygon_xy) <= MOST_CORNERS:
        raise RecordError(
            f"A region has {len(polygon_xy)} corners; expected 3 to {MOST_CORNERS}. Draw it anew."
        )
    if not np.abs(polygon_xy).max() <= FARTHEST_PX:  # also not a number
        raise RecordError("A region lies outside of any image.")
    if not area_px(polygon_xy):
        raise RecordError("A region is a line: it has no area. Draw it anew.")


def box_around(polygons_xy: Iterable[PointsXY]) -> Box:
    """The box around some polygons; there is at least one."""
    corners = np.concatenate(list(polygons_xy))
    (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Box(x0, y0, x1, y1)


def rectangle(box: Box) -> PointsXY:
    """The corners of a box, clockwise on the screen."""
    return np.array(
        [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)], dtype=np.float64
    )


def area_px(polygon_xy: PointsXY) -> float:
    """What a polygon covers by the even-odd rule, px squared.

    Exact where the line does not cross itself. Where it does, strips of at most 1/256 of its height
    are measured at their middles.
    """
    if len(polygon_xy) < 3:
        return 0.0
    levels = np.unique(polygon_xy[:, 1])
    more = np.linspace(levels[0], levels[-1], _STRIPS + 1)
    levels = np.unique(np.concatenate((levels, more)))
    middles, heights = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    return float(sum(h * _width_at(y, polygon_xy) for y, h in zip(middles, heights, strict=True)))


def _width_at(y: float, polygon_xy: PointsXY) -> float:
    """How much of a line across at `y` lies inside."""
    (x0, y0), (x1, y1) = polygon_xy.T, np.roll(polygon_xy, -1, axis=0).T
    crosses = (y0 <= y) != (y1 <= y)
    x0, y0, x1, y1 = x0[crosses], y0[crosses], x1[crosses], y1[crosses]
    at = np.sort(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return float((at[1::2] - at[::2]).sum())


def inside(points_xy: PointsXY, polygon_xy: PointsXY) -> NDArray[np.bool_]:
    """Which points lie in a polygon by the even-odd rule, shape (N,).

    A left or upper edge belongs to it, a right or lower one does not: polygons that share an edge
    share no point. Points are sorted once, so that each edge looks at those of its own height only.
    """
    found = np.zeros(len(points_xy), dtype=np.bool_)
    if not len(points_xy) or len(polygon_xy) < 3:
        return found
    box = box_around([polygon_xy])
    near = np.flatnonzero(
        (points_xy[:, 0] >= box.x0)
        & (points_xy[:, 0] <= box.x1)
        & (points_xy[:, 1] >= box.y0)
        & (points_xy[:, 1] <= box.y1)
    )
    near = near[np.argsort(points_xy[near, 1], kind="stable")]
    x, y = points_xy[near].T
    odd = np.zeros(len(near), dtype=np.bool_)
    start, end = polygon_xy, np.roll(polygon_xy, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first, last = np.searchsorted(y, low), np.searchsorted(y, high)
    for i in np.flatnonzero(first < last).tolist():
        here = slice(first[i], last[i])
        (x0, y0), (x1, y1) = start[i], end[i]
        odd[here] ^= x[here] >= x0 + (y[here] - y0) * (x1 - x0) / (y1 - y0)
    found[near] = odd
    return found


def inside_any(points_xy: PointsXY, polygons_xy: Iterable[PointsXY]) -> NDArray[np.bool_]:
    """Which points lie in one of some polygons, shape (N,)."""
    found = np.zeros(len(points_xy), dtype=np.bool_)
    for polygon_xy in polygons_xy:
        found |= inside(points_xy, polygon_xy)
    return found


def edges_in(polygon_xy: PointsXY, box: Box) -> tuple[PointsXY, PointsXY]:
    """What of a polygon's edges lies in a box: where each part starts, and how far it goes.

    References
    ----------
    Liang and Barsky (1984).
    """
    low, high = np.array([box.x0, box.y0]), np.array([box.x1, box.y1])
    along = np.roll(polygon_xy, -1, axis=0) - polygon_xy
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = np.stack(((low - polygon_xy) / along, (high - polygon_xy) / along))
    lies_between = (polygon_xy >= low) & (polygon_xy <= high)
    still = np.where(lies_between, np.array([[[-np.inf]], [[np.inf]]]), np.nan)
    bounds = np.where(along == 0, still, bounds)  # not a number: it never comes near
    first = np.maximum(bounds.min(axis=0).max(axis=1), 0.0)[:, None]
    last = np.minimum(bounds.max(axis=0).min(axis=1), 1.0)[:, None]
    near = (first < last)[:, 0]
    return (polygon_xy + first * along)[near], ((last - first) * along)[near]


def is_rectangle(polygon_xy: PointsXY) -> bool:
    """Whether a polygon is the box around it."""
    if len(polygon_xy) != 4:
        return False
    corners = rectangle(box_around([polygon_xy]))
    turned = [np.roll(corners[::step], k, axis=0) for step in (1, -1) for k in range(4)]
    return any(np.array_equal(polygon_xy, each) for each in turned)


def clipped(polygon_xy: PointsXY, box: Box) -> PointsXY:
    """What of a polygon lies in a box, shape (M, 2); M is 0 where nothing does.

    Where parts of it are apart, the line runs from one to the other along the box, which costs no
    area by the even-odd rule.

    References
    ----------
    Sutherland and Hodgman (1974).
    """
    made = polygon_xy
    for axis, bound, sign in ((0, box.x0, 1), (0, box.x1, -1), (1, box.y0, 1), (1, box.y1, -1)):
        if not len(made):
            break
        height = sign * (made[:, axis] - bound)
        after, height_after = np.roll(made, -1, axis=0), np.roll(height, -1)
        crosses = (height > 0) != (height_after > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(crosses, height / (height - height_after), 0.0)[:, None]
        crossing = made + part * (after - made)
        crossing[:, axis] = bound
        both = np.stack((made, crossing), axis=1).reshape(-1, 2)
        made = both[np.stack((height > 0, crosses), axis=1).reshape(-1)]
    return made


def with_holes(outer_xy: PointsXY, holes_xy: Sequence[PointsXY]) -> PointsXY:
    """One polygon of a ring and its holes: from its corner nearest to a hole a cut goes in and out.

    By the even-odd rule a cut is nothing, whatever it crosses.
    """
    made = open_ring(outer_xy)
    for hole_xy in map(open_ring, holes_xy):
        if len(hole_xy) < 3:
            continue
        if np.sign(signed_area_px(hole_xy)) == np.sign(signed_area_px(made)):
            hole_xy = hole_xy[::-1]
        distance = np.hypot(*(made[:, None] - hole_xy[None]).transpose(2, 0, 1))
        at, start = np.unravel_index(int(distance.argmin()), distance.shape)
        round_it = np.concatenate((hole_xy[start:], hole_xy[: start + 1]))
        made = np.concatenate((made[: at + 1], round_it, made[at:]))
    return made


def open_ring(ring_xy: PointsXY) -> PointsXY:
    """A ring without its first corner at the end again."""
    return ring_xy[:-1] if len(ring_xy) > 1 and np.array_equal(ring_xy[0], ring_xy[-1]) else ring_xy


def signed_area_px(ring_xy: PointsXY) -> float:
    """Shoelace area of a ring that is not closed; the sign tells its direction."""
    x, y = (ring_xy - ring_xy[0]).T  # near the ring: a far corner of a slide costs no precision
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def simplified(ring_xy: PointsXY, tolerance_px: float) -> PointsXY:
    """A ring with fewer corners, whose line comes within `tolerance_px` of each old corner.

    References
    ----------
    Douglas and Peucker (1973). Begun at the corners that are farthest from each other along x or y.
    """
    ring = open_ring(ring_xy)
    if len(ring) < 4:
        return ring
    first = int(ring.sum(axis=1).argmin())
    ring = np.roll(ring, -first, axis=0)
    far = int(np.hypot(*(ring - ring[0]).T).argmax())
    closed = np.concatenate((ring, ring[:1]))
    keep = np.zeros(len(closed), dtype=np.bool_)
    keep[[0, far, -1]] = True
    waiting = [(0, far), (far, len(closed) - 1)]
    while waiting:
        start, stop = waiting.pop()
        if stop - start < 2:
            continue
        away = _distance(closed[start + 1 : stop], closed[start], closed[stop])
        if away.max() > tolerance_px:
            middle = start + 1 + int(away.argmax())
            keep[middle] = True
            waiting += [(start, middle), (middle, stop)]
    return closed[:-1][keep[:-1]]


def _distance(
    points_xy: PointsXY, start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each point to a stretch of line, shape (N,)."""
    along = end - start
    length2 = float(along @ along)
    part = np.clip((points_xy - start) @ along / length2, 0, 1) if length2 else 0.0
    nearest = start + np.multiply.outer(np.broadcast_to(part, len(points_xy)), along)
    distance: NDArray[np.float64] = np.hypot(*(points_xy - nearest).T)
    return distance
