"""What of a region somebody or something has looked at. Pure functions.

Accepting a region says that every nucleus in it is marked. Where neither a search came through to
its end nor a person touched anything, nothing speaks for that.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.shapes.regions import box_around, is_rectangle

if TYPE_CHECKING:
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.store import FieldState


MOST_DRAWN = 12
"""Rectangles that cut a region; beyond the others a part may be taken for unsearched."""


def unsearched_parts(state: FieldState, region: Box) -> list[Box]:
    """The parts of `region` that the run last used there did not search to its end.

    The edges of everything that was searched cut the region into boxes; those are returned that
    are left, row by row. Together they are what is missing.
    """
    areas = [base.area for base in state.bases]
    polygons = [polygon for area in areas for polygon in (*area.within, *area.without)]
    # Others leave no box that is searched as a whole, but inside of them.
    upright = [box_around([each]) for each in polygons if is_rectangle(each)][:MOST_DRAWN]
    uses = [box.clipped_to(region) for box in (*(base.region for base in state.bases), *upright)]
    x_px = sorted({region.x0, region.x1, *(x for box in uses for x in (box.x0, box.x1))})
    y_px = sorted({region.y0, region.y1, *(y for box in uses for y in (box.y0, box.y1))})
    return [
        part
        for y0, y1 in pairwise(y_px)
        for x0, x1 in pairwise(x_px)
        if not _is_searched(state, part := Box(x0, y0, x1, y1))
    ]


def _is_searched(state: FieldState, part: Box) -> bool:
    for base in reversed(state.bases):
        if base.searches(part):
            run = state.runs[base.run_id]
            return run.status == "complete" and run.info.region.covers(part)
    return False


def unseen_parts(state: FieldState, region: Box) -> list[Box]:
    """The unsearched parts in which no person touched, placed or deleted anything either."""
    parts = unsearched_parts(state, region)
    if not parts:
        return []
    touched_xy = _touched(state)
    return [part for part in parts if not part.contains(touched_xy).any()]


def _touched(state: FieldState) -> PointsXY:
    standing = [(n.nucleus.x_px, n.nucleus.y_px) for n in state.nuclei.touched()]
    return as_points_xy([*standing, *state.deleted.values()])
