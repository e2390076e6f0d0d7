"""Where an image shows tissue, so that a search can leave out windows of bare glass.

Both mistakes have a price, and not the same one: glass that is searched costs time, tissue that is
not searched costs nuclei. So whatever is in doubt counts as tissue.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.geometry import Box
from napari_nunext.core.image.pen import pen_of
from napari_nunext.core.shapes.regions import (
    MOST_CORNERS,
    area_px,
    clipped,
    simplified,
    with_holes,
)
from napari_nunext.core.shapes.tracing import pieces_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.tiling import WindowGrid

PIXEL_UM = 4.0
"""Side of the pixels that are judged: in larger ones, small nuclei far apart in pale tissue are
lost."""
CELL_PX = 4
"""Along a cell, of which is only known whether it holds tissue."""
BLOCK_CELLS = 128
"""Along what is read at once."""
OVERVIEW_PX = 512
"""Most pixels along the picture in which glass is looked for."""
MARGIN_UM = 50.0
"""What lies this close to tissue is searched as well."""

COLOR_MAX = 0.03
"""Glass absorbs one colour more than another by this much optical density at most."""
DENSITY_MAX = 0.05
"""So much more than the palest grey of an image it absorbs at most."""
BRIGHTNESS_MIN = 0.7
"""At least so bright is what may be glass, where white is 1."""

OUTLINE_UM = 32.0
"""So far round what is seen runs an outline: nuclei at the edge of pale tissue lie within."""
STEPS = 0.75
"""Corners of an outline may move by this part of a cell: a slanting line needs no steps."""
SPECK_UM2 = 2500.0
"""A smaller piece is dust, or a cell or two, to those who look at outlines."""
HOLE_UM2 = 50_000.0
"""A smaller hole is filled in an outline."""


def tissue_of(rgb: NDArray[np.uint8], glass: float | None = None) -> NDArray[np.bool_]:
    """Which pixels do not show glass.

    Glass is what is nearly grey, and nearly as bright as the palest grey of the image. Fixed
    thresholds find nothing on an empty slide, and pen or shadow cannot move them, as they do those
    that are fitted to an image (Otsu's).

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        Bright field, some 4 um a pixel.
    glass : float, optional
        Its optical density (`glass_of`); that of this image by default.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Pen, dust and what is dark count as tissue.
    """
    density, color = _density_and_color(rgb)
    if glass is None:
        glass = glass_of(rgb)
    seen: NDArray[np.bool_] = (density > glass + DENSITY_MAX) | (color > COLOR_MAX)
    return seen


def glass_of(rgb: NDArray[np.uint8]) -> float:
    """Optical density of the palest grey, which may be glass; that of white where none is seen."""
    density, color = _density_and_color(rgb)
    grey = density[(color <= COLOR_MAX) & (density <= -math.log10(BRIGHTNESS_MIN))]
    return float(np.percentile(grey, 10)) if len(grey) else 0.0


def _density_and_color(
    rgb: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Optical density of each pixel's darkest channel, and how far that of the others is below."""
    brightness = np.maximum(rgb, 1).astype(np.float32) / 255
    darkest = -np.log10(brightness.min(axis=2))
    return darkest, darkest + np.log10(brightness.max(axis=2))


def windows_of_glass(
    image: WindowReader, region: Box, windows: WindowGrid, *, mpp: float, pen: bool = False
) -> frozenset[int]:
    """Windows in whose cores there is no tissue, nor close to them.

    Parameters
    ----------
    image : WindowReader
        Read at a coarse scale, a block at a time.
    region : Box
        What the windows cover, level-0 px.
    windows : WindowGrid
    mpp : float
        Micrometres per level-0 pixel.
    pen : bool
        Whether marks of a pen count as glass (`napari_nunext.core.image.pen`).
    """
    around = region.grown(MARGIN_UM / mpp).clipped_to(image.box)
    cell_px = CELL_PX * PIXEL_UM / mpp
    reach = math.ceil(MARGIN_UM / mpp / cell_px)
    rows, columns = np.nonzero(
        scipy.ndimage.maximum_filter(_cells(image, around, cell_px, pen=pen), 2 * reach + 1)
    )
    centres = np.stack((columns, rows), axis=1).astype(np.float64) + 0.5
    held = windows.holding(centres * cell_px + (around.x0, around.y0))
    return frozenset(range(len(windows))).difference(np.unique(held).tolist())


def tissue_pieces(image: WindowReader, *, mpp: float, pen: bool = True) -> list[PointsXY]:
    """The pieces of tissue of an image as polygons, the largest first, shape (N, 2) each.

    As `windows_of_glass` has it, but for people: specks are left out, small holes are filled, and
    the line is a simple one. It runs `OUTLINE_UM` outside of what is seen.

    Parameters
    ----------
    image : WindowReader
    mpp : float
        Micrometres per level-0 pixel.
    pen : bool
        Whether marks of a pen count as glass.
    """
    cell_px = CELL_PX * PIXEL_UM / mpp
    cells = _cells(image, image.box, cell_px, pen=pen)
    cells = _without_small(cells, SPECK_UM2, touching=True)
    if not cells.any():
        return []
    reach = math.ceil(OUTLINE_UM / (CELL_PX * PIXEL_UM))
    room = np.pad(cells, reach)
    near = scipy.ndimage.distance_transform_edt(~room) <= reach
    near = ~_without_small(~near, HOLE_UM2)
    made = []
    for piece in pieces_of(near):
        rings = [piece.outer_xy, *piece.holes_xy]
        outer, *holes = ((ring - reach) * cell_px for ring in rings)
        made.append(clipped(_line(outer, holes, STEPS * cell_px), image.box))
    return sorted((each for each in made if len(each) >= 3), key=area_px, reverse=True)


def _line(outer: PointsXY, holes: Sequence[PointsXY], tolerance_px: float) -> PointsXY:
    """One polygon of not too many corners; a hole that becomes a line is none."""
    while True:
        simple = [simplified(hole, tolerance_px) for hole in holes]
        made = with_holes(simplified(outer, tolerance_px), [h for h in simple if len(h) > 2])
        if len(made) <= MOST_CORNERS // 2:  # where it is cut at the image's edge come others
            return made
        tolerance_px *= 1.5


def _without_small(
    cells: NDArray[np.bool_], least_um2: float, *, touching: bool = False
) -> NDArray[np.bool_]:
    """Cells without those of small pieces; `touching` by a corner is one piece."""
    links = np.ones((3, 3)) if touching else None
    labels, _ = scipy.ndimage.label(cells, links)
    sizes = np.bincount(labels.ravel()) * (CELL_PX * PIXEL_UM) ** 2
    keep: NDArray[np.bool_] = (sizes >= least_um2)[labels] & cells
    return keep


def _cells(
    image: WindowReader, area: Box, cell_px: float, *, pen: bool = False
) -> NDArray[np.bool_]:
    """Which cells of an area hold tissue, shape (rows, columns); sides in level-0 px."""
    height, width = math.ceil(area.height / cell_px), math.ceil(area.width / cell_px)

    def read(top: int, left: int, cells: int, out_px: int) -> NDArray[np.uint8]:
        x0, y0, side = area.x0 + left * cell_px, area.y0 + top * cell_px, cells * cell_px
        return image.read_window(Box(x0, y0, x0 + side, y0 + side), out_px)

    longest = max(height, width)
    out_px = min(longest * CELL_PX, OVERVIEW_PX)
    overview = read(0, 0, longest, out_px)
    scale = out_px / (longest * cell_px)  # what lies beyond the area may be no image at all
    inside = overview[: math.ceil(area.height * scale), : math.ceil(area.width * scale)]
    glass = glass_of(inside)
    held = np.empty((height, width), dtype=np.bool_)
    for top in range(0, height, BLOCK_CELLS):
        for left in range(0, width, BLOCK_CELLS):
            block = held[top : top + BLOCK_CELLS, left : left + BLOCK_CELLS]
            side = max(block.shape)
            rgb = read(top, left, side, side * CELL_PX)
            pixels = tissue_of(rgb, glass)
            if pen:
                pixels &= ~pen_of(rgb)
            cells = np.any(pixels.reshape(side, CELL_PX, side, CELL_PX), axis=(1, 3))
            block[:] = cells[: block.shape[0], : block.shape[1]]
    return held
