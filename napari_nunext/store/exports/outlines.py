"""Masks as polygons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
