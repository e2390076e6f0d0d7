"""Where nuclei lie: as dense as their compartment asks, as close as cells can be."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.synthetic.cells import draw_cell
from napari_nunext.synthetic.options import EPITHELIAL, LYMPHOCYTE, STROMAL
from napari_nunext.synthetic.tissue import NEAR_LUMEN_UM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.synthetic.cells import Cell
    from napari_nunext.synthetic.fields import Field, Grid
    from napari_nunext.synthetic.scene import Scene
    from napari_nunext.synthetic.tissue import Tissue

_TRIES = 4
"""Places tried for each nucleus wanted; a compartment that is full takes fewer."""
_CROWDING = (0.8, 0.95)
"""Least distance of two nuclei as a share of their radii's sum: epithelium, everything else."""
_APICAL_UM = 3.0
"""Cytoplasm without nuclei around a lumen."""


class _Occupied:
    """Discs taken, by cells of a coarse lattice, so that looking takes the same time anywhere."""

    _SIDE_UM = 20.0

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[int, int], list[tuple[float, float, float]]]
        self._taken = defaultdict(list)

    def has_room(self, discs: Sequence[tuple[float, float, float]], crowding: float) -> bool:
        """Whether none of the discs comes too near to one that is taken."""
        return not any(
            math.hypot(x - other_x, y - other_y) < crowding * (radius + other_radius)
            for x, y, radius in discs
            for cell in self._around(x, y)
            for other_x, other_y, other_radius in self._taken.get(cell, ())
        )

    def take(self, discs: Sequence[tuple[float, float, float]]) -> None:
        """Fill these discs."""
        for x, y, radius in discs:
            self._taken[int(x // self._SIDE_UM), int(y // self._SIDE_UM)].append((x, y, radius))

    def _around(self, x: float, y: float) -> list[tuple[int, int]]:
        column, row = int(x // self._SIDE_UM), int(y // self._SIDE_UM)
        return [(column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def place_cells(
    rng: np.random.Generator, grid: Grid, tissue: Tissue, scene: Scene
) -> tuple[Cell, ...]:
    """Throw nuclei at their compartments, and keep those that find room.

    Returns
    -------
    tuple of Cell
        In random order, for which lies above which.
    """
    occupied = _Occupied()
    swirl = grid.noise(rng, 15.0)
    columnar = tissue.lumen_um < NEAR_LUMEN_UM  # nuclei point at the lumen
    epithelial_angle = np.where(columnar, tissue.lumen_angle, 2.2 * swirl)
    solid = tissue.epithelium & (tissue.inside_um > 2.0) & (tissue.lumen_um > _APICAL_UM)
    stroma = tissue.stroma & (tissue.cleft < 0.5)
    clusters = np.exp(0.7 * grid.noise(rng, 18.0) - 0.25)
    everywhere = tissue.infiltration * (tissue.lumen_um > 0) * (tissue.cleft < 0.7)
    plans: tuple[tuple[str, Field, Field, float, float], ...] = (
        (
            EPITHELIAL,
            solid.astype(np.float32),
            epithelial_angle,
            scene.epithelial_per_mm2,
            _CROWDING[0],
        ),
        (LYMPHOCYTE, everywhere, swirl, scene.lymphocytes_per_mm2, _CROWDING[1]),
        (
            STROMAL,
            stroma * clusters,
            tissue.fibre_angle,
            scene.stromal_per_mm2,
            _CROWDING[1],
        ),
    )
    cells: list[Cell] = []
    for category, density, angle, per_mm2, crowding in plans:
        wanted = rng.poisson(per_mm2 * float(density.mean(dtype=np.float64)) * grid.area_mm2)
        cells += _throw(rng, grid, scene, category, density, angle, wanted, crowding, occupied)
    return tuple(cells[i] for i in rng.permutation(len(cells)))


def _throw(
    rng: np.random.Generator,
    grid: Grid,
    scene: Scene,
    category: str,
    density: Field,
    angle: Field,
    wanted: int,
    crowding: float,
    occupied: _Occupied,
) -> list[Cell]:
    placed: list[Cell] = []
    if wanted == 0:
        return placed
    for pixel in _draw_pixels(rng, density, _TRIES * wanted):
        row, column = divmod(int(pixel), grid.width_px)
        x_um, y_um = (np.array([column, row]) + rng.random(2)) * grid.mpp
        cell = draw_cell(rng, category, float(x_um), float(y_um), float(angle[row, column]), scene)
        if occupied.has_room(cell.discs, crowding):
            occupied.take(cell.discs)
            placed.append(cell)
            if len(placed) == wanted:
                break
    return placed


def _draw_pixels(rng: np.random.Generator, density: Field, count: int) -> NDArray[np.intp]:
    """Flat indices of pixels, each as likely as its density."""
    cumulative = np.cumsum(density, dtype=np.float64)
    drawn: NDArray[np.intp] = np.searchsorted(
        cumulative, rng.random(count) * cumulative[-1], side="right"
    )
    return drawn
