"""What lies between nuclei: cytoplasm, collagen, red cells, and nothing (glass)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.synthetic.fields import ramp

if TYPE_CHECKING:
    from napari_nunext.synthetic.fields import Field, Grid
    from napari_nunext.synthetic.painting import Painted
    from napari_nunext.synthetic.scene import Scene
    from napari_nunext.synthetic.tissue import Tissue

_RED_CELL_UM = 2.9
_EOSIN_OF_NUCLEUS = 0.35
"""How much of the cytoplasm's eosin is seen through a nucleus."""


@dataclass(frozen=True, eq=False, slots=True)
class Ground:
    """Stain beside and around nuclei.

    Haematoxylin in units of a lymphocyte's nucleus, eosin of dense collagen, blood of a red cell.
    """

    haematoxylin: Field
    eosin: Field
    blood: Field


def draw_ground(
    rng: np.random.Generator, grid: Grid, tissue: Tissue, painted: Painted, scene: Scene
) -> Ground:
    """Fill what the nuclei leave."""
    distance_px, (rows, columns) = scipy.ndimage.distance_transform_edt(
        painted.labels == 0, return_indices=True
    )
    nearest_um = (distance_px * grid.mpp).astype(np.float32)
    owner = painted.labels[rows, columns]
    cell_h, cell_e = _cytoplasm(rng, grid, scene, owner, len(painted.cells))
    stroma_h, stroma_e = _collagen(rng, grid, scene, tissue, nearest_um)
    inside = ramp(tissue.inside_um + 0.5 * grid.noise(rng, 1.5), -1.0, 1.0)
    secretion = 0.25 * ramp(grid.noise(rng, 5.0) + grid.noise(rng, 1.0), 0.2, 1.8)
    tissue_here = ramp(tissue.lumen_um, -0.4, 0.4)
    haematoxylin = tissue_here * (inside * cell_h + (1 - inside) * stroma_h)
    eosin = tissue_here * (inside * cell_e + (1 - inside) * stroma_e)
    eosin += (1 - tissue_here) * secretion
    blood = _red_cells(rng, grid, scene, tissue) * (1 - painted.cover)
    bare = 1 - painted.cover
    eosin *= (bare + _EOSIN_OF_NUCLEUS * painted.cover) * (1 - 0.8 * blood)
    if scene.stain == "ihc":
        eosin *= np.float32(0.06)  # none was used; protein is never quite colourless
        blood *= np.float32(0.25)
    haematoxylin *= bare * (1 - 0.9 * blood)
    return Ground(haematoxylin, eosin, blood)


def _cytoplasm(
    rng: np.random.Generator, grid: Grid, scene: Scene, owner: np.ndarray, cells: int
) -> tuple[Field, Field]:
    """Haematoxylin and eosin of epithelial cytoplasm; each cell its own, borders drawn between."""
    of_cell = np.exp(rng.normal(0, 0.13, (2, cells + 1))).astype(np.float32)
    grainy = 1 + 0.16 * grid.noise(rng, 0.8) + 0.12 * grid.noise(rng, 2.5)
    border = np.zeros(grid.shape, dtype=np.float32)
    border[:, 1:] = owner[:, 1:] != owner[:, :-1]
    border[1:] = np.maximum(border[1:], owner[1:] != owner[:-1])
    border = scipy.ndimage.gaussian_filter(border, 0.45 / grid.mpp) * np.float32(0.45 / grid.mpp)
    edge = 1 + rng.uniform(-0.9, 0.5) * border * (1 + 0.6 * grid.noise(rng, 6.0))
    vacuoles = 1 - 0.75 * ramp(grid.noise(rng, 1.6), *rng.uniform(1.9, 3.2) + np.array([0, 0.4]))
    common = np.maximum(grainy * edge * vacuoles, 0.05)
    return (
        scene.basophilia * of_cell[0][owner] * common,
        rng.uniform(0.3, 0.65) * of_cell[1][owner] * common,
    )


def _collagen(
    rng: np.random.Generator, grid: Grid, scene: Scene, tissue: Tissue, nearest_um: Field
) -> tuple[Field, Field]:
    """Haematoxylin and eosin of stroma: fibres, a bluish ground substance, gaps of glass."""
    here = 1 - tissue.cleft
    fibres = 0.72 - 0.25 * scene.looseness + 0.18 * tissue.bundles + 0.24 * tissue.fibrils
    fibres += 0.09 * grid.noise(rng, 1.0) + 0.1 * grid.noise(rng, 4.0)
    infiltrated = ramp(tissue.infiltration, 1.0, 4.0) * min(scene.lymphocytes_per_mm2 / 3000, 1.0)
    fibres *= 1 - 0.5 * infiltrated - 0.25 * ramp(-nearest_um, -1.4, -0.2)
    eosin = np.maximum(fibres, 0.06) * here
    ground = rng.uniform(0.04, 0.22) * (1 + 0.35 * grid.noise(rng, 12.0) + 0.25 * tissue.fibrils)
    haematoxylin = ground * (1 + 0.25 * grid.noise(rng, 1.2)) * (0.15 + 0.85 * here)
    return np.maximum(haematoxylin, 0), np.maximum(eosin, 0)


def _red_cells(rng: np.random.Generator, grid: Grid, scene: Scene, tissue: Tissue) -> Field:
    """Red cells in stroma, in clusters as capillaries hold them: pale in the middle, no nucleus."""
    blood = np.zeros(grid.shape, dtype=np.float32)
    x_um, y_um = grid.positions_um()
    for _ in range(rng.poisson(scene.red_cells_per_mm2 * grid.area_mm2)):
        row, column = rng.integers(grid.height_px), rng.integers(grid.width_px)
        if tissue.inside_um[row, column] > -4:
            continue
        angle = tissue.fibre_angle[row, column]
        for step in range(rng.integers(1, 7)):
            shift_um = 2.1 * _RED_CELL_UM * (step + rng.normal(0, 0.2))
            x = float(x_um[0, column] + np.cos(angle) * shift_um + rng.normal(0, 1.0))
            y = float(y_um[row, 0] + np.sin(angle) * shift_um + rng.normal(0, 1.0))
            _add_red_cell(blood, grid, x, y, rng.uniform(0.85, 1.15), rng.uniform(0.6, 1.0))
    return blood


def _add_red_cell(blood: Field, grid: Grid, x: float, y: float, size: float, stain: float) -> None:
    reach = int(np.ceil((_RED_CELL_UM * 1.4) / grid.mpp))
    column, row = int(x / grid.mpp), int(y / grid.mpp)
    rows = slice(max(row - reach, 0), max(row + reach + 1, 0))
    columns = slice(max(column - reach, 0), max(column + reach + 1, 0))
    x_um, y_um = grid.positions_um()
    apart = np.hypot(x_um[:, columns] - x, y_um[rows] - y) / (size * _RED_CELL_UM)
    disc = ramp(-apart, -1.1, -0.9) * (0.75 + 0.25 * np.minimum(apart, 1) ** 2) * stain
    np.maximum(blood[rows, columns], disc, out=blood[rows, columns])
