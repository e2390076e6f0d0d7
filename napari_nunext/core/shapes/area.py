"""What of an image is searched: polygons to search in, and others that are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.shapes.regions import box_around, edges_in, inside, inside_any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.shapes.regions import Region


SLIVER = 1e-6
"""What is less of a box than this is rounding."""


@dataclass(frozen=True, eq=False, slots=True)
class Area:
    """Part of an image, as polygons by the even-odd rule, level-0 px."""

    within: tuple[PointsXY, ...] = ()
    """Where is searched; everywhere where there is none."""
    without: tuple[PointsXY, ...] = ()
    """What is left out all the same."""

    @classmethod
    def of(cls, regions: Iterable[Region], *, search_here: bool) -> Area:
        """Without the regions that are left out, and within those to search if they are meant."""
        drawn = tuple(regions)
        return cls(
            tuple(r.polygon_xy for r in drawn if search_here and r.kind == "search"),
            tuple(r.polygon_xy for r in drawn if r.kind == "leave_out"),
        )

    @property
    def is_everything(self) -> bool:
        """Whether no polygon says anything."""
        return not (self.within or self.without)

    @property
    def box(self) -> Box | None:
        """The box around what is searched; None where nothing bounds it."""
        return box_around(self.within) if self.within else None

    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which points are searched, shape (N,)."""
        if self.within:
            found = inside_any(points_xy, self.within)
        else:
            found = np.ones(len(points_xy), dtype=np.bool_)
        if self.without:
            found &= ~inside_any(points_xy, self.without)
        return found

    def covers(self, box: Box) -> bool:
        """Whether all of a box is searched; in doubt not, as where two polygons share it."""
        return (not self.within or any(_hold(each, box) for each in self.within)) and not any(
            _hold(each, box) is not False for each in self.without
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON carries it; empty for everything."""
        said = {"within": self.within, "without": self.without}
        return {name: [each.tolist() for each in those] for name, those in said.items() if those}

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Area:
        """The area that `to_json` wrote."""
        said = data or {}
        within, without = (
            tuple(as_points_xy(each) for each in said.get(name) or ())
            for name in ("within", "without")
        )
        return cls(within, without)


def _hold(polygon_xy: PointsXY, box: Box) -> bool | None:
    """Whether a box lies in a polygon; None where a part of it does."""
    around = box_around([polygon_xy]).clipped_to(box)
    if not (around.width and around.height):
        return False
    inner = box.grown(-SLIVER * min(box.width, box.height))  # an edge along the box cuts nothing
    if len(edges_in(polygon_xy, inner)[0]):
        return None
    middle = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]])
    return bool(inside(middle, polygon_xy)[0])


EVERYTHING = Area()
