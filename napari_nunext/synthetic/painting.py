"""Nuclei on the grid: who owns which pixel, and how much stain each pixel holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.synthetic.cells import Cell
    from napari_nunext.synthetic.fields import Field, Grid

MIN_VISIBLE_UM2 = 6.0
"""Of a nucleus at the tile's edge: less would not be told from dirt."""
MIN_VISIBLE_SHARE = 0.7
"""Of a nucleus beneath others."""
MIN_VISIBLE_PX = 4
_RIM_UM = 0.7
_THROUGH = 0.45
"""How much of a nucleus shows through one that lies on it."""


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """The nuclei of a grid."""

    cells: tuple[Cell, ...]
    """Those that are visible; cell i has label i + 1."""
    labels: NDArray[np.int32]
    """Shape (H, W); 0 is background. A pixel belongs to the uppermost nucleus over its centre."""
    haematoxylin: Field
    cover: Field
    """How much of a pixel is nucleus, 0 to 1: cytoplasm is what is left."""
    brown: Field
    """Diaminobenzidine."""


@dataclass(frozen=True, eq=False, slots=True)
class _Print:
    """A nucleus' crop of the grid."""

    place: tuple[slice, slice]
    depth_um: Field
    along_um: Field
    across_um: Field


def paint_nuclei(
    rng: np.random.Generator, grid: Grid, cells: Sequence[Cell], view: tuple[slice, slice]
) -> Painted:
    """Paint nuclei, the first uppermost.

    What would leave a scrap that nobody could annotate is not drawn at all: nuclei that are mostly
    beneath others, fall into pieces, or only just reach into the view.

    Parameters
    ----------
    rng : numpy.random.Generator
    grid : Grid
    cells : sequence of Cell
    view : pair of slices
        Rows and columns that will be shown; the rest of the grid is margin.
    """
    labels = np.zeros(grid.shape, dtype=np.int32)
    in_view = np.zeros(grid.shape, dtype=bool)
    in_view[view] = True
    kept: list[tuple[Cell, _Print]] = []
    for cell in cells:
        trace = _trace(grid, cell)
        if trace is None:
            continue
        full = trace.depth_um > 0
        visible = full & (labels[trace.place] == 0)
        if _is_whole(full, visible, in_view[trace.place], grid.mpp):
            kept.append((cell, trace))
            labels[trace.place][visible] = len(kept)
    haematoxylin, cover, brown = _stain(rng, grid, kept)
    return Painted(tuple(cell for cell, _ in kept), labels, haematoxylin, cover, brown)


def _trace(grid: Grid, cell: Cell) -> _Print | None:
    reach = cell.reach_um + 2 * cell.chromatin.blur_um + grid.mpp
    column0 = max(math.floor((cell.x_um - reach) / grid.mpp), 0)
    column1 = min(math.ceil((cell.x_um + reach) / grid.mpp), grid.width_px)
    row0 = max(math.floor((cell.y_um - reach) / grid.mpp), 0)
    row1 = min(math.ceil((cell.y_um + reach) / grid.mpp), grid.height_px)
    if row0 >= row1 or column0 >= column1:
        return None
    place = np.s_[row0:row1, column0:column1]
    x_um, y_um = grid.positions_um()
    return _Print(place, *cell.depth_um(x_um[:, place[1]], y_um[place[0]]))


def _is_whole(
    full: NDArray[np.bool_], visible: NDArray[np.bool_], in_view: NDArray[np.bool_], mpp: float
) -> bool:
    area_px, visible_px = int(full.sum()), int(visible.sum())
    if area_px == 0 or visible_px < MIN_VISIBLE_SHARE * area_px:
        return False
    shown = visible & in_view
    shown_px = int(shown.sum())
    if shown_px < area_px:
        if shown_px == 0:
            return not full[in_view].any()  # in the margin: whole, and outside what is shown
        if scipy.ndimage.label(shown, structure=np.ones((3, 3)))[1] > 1:
            return False
    return shown_px >= max(MIN_VISIBLE_UM2 / mpp**2, MIN_VISIBLE_PX)


def _stain(
    rng: np.random.Generator, grid: Grid, kept: Sequence[tuple[Cell, _Print]]
) -> tuple[Field, Field, Field]:
    """Haematoxylin, cover and diaminobenzidine, from the lowest nucleus to the uppermost."""
    clumps, grains = grid.noise(rng, 0.75), grid.noise(rng, 0.35)
    haematoxylin, cover, brown = (np.zeros(grid.shape, dtype=np.float32) for _ in range(3))
    for cell, trace in reversed(kept):
        chromatin, depth, place = cell.chromatin, trace.depth_um, trace.place
        soft_um = max(chromatin.blur_um, 0.5 * grid.mpp)
        opacity = np.clip(0.5 + depth / (2 * soft_um), 0, 1)
        texture = chromatin.clumps * clumps[place] + chromatin.grains * grains[place]
        taken = chromatin.body * np.maximum(1 + texture, 0.2)
        rim = np.exp(-(((depth - 0.5 * _RIM_UM) / _RIM_UM) ** 2))
        taken = taken + chromatin.rim * rim
        for along, across, radius_um in chromatin.nucleoli:
            apart = np.hypot(
                trace.along_um - along * cell.a_um, trace.across_um - across * cell.b_um
            )
            taken = taken + 0.5 * np.clip(0.5 + (radius_um - apart) / 0.5, 0, 1)
        beneath = 1 - opacity * (1 - _THROUGH)
        haematoxylin[place] = beneath * haematoxylin[place] + opacity * taken
        brown[place] = beneath * brown[place] + opacity * chromatin.positive * (
            0.8 + 0.4 * taken / max(chromatin.body, 0.1)
        )
        cover[place] = np.maximum(cover[place], opacity)
    return haematoxylin, cover, brown
