"""Compartments: epithelium with its lumens, stroma with the course of its fibres, and glass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.synthetic.fields import Grain, ramp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.synthetic.fields import Field, Grid
    from napari_nunext.synthetic.scene import Scene

_LUMEN_RADII_UM = (4.0, 22.0)
_WALL_UM = 9.0
"""Least epithelium around a lumen."""
NEAR_LUMEN_UM = 16.0
"""Further from a lumen nothing depends on it."""
_FAR_UM = 1e3


@dataclass(frozen=True, eq=False, slots=True)
class Tissue:
    """Where what lies; every field has the shape of the grid."""

    inside_um: Field
    """Distance to the epithelium's edge, positive inside."""
    lumen_um: Field
    """Distance to the nearest lumen's edge, negative in the lumen; large where none is near."""
    lumen_angle: Field
    """Direction away from the nearest lumen's centre, radians, y down."""
    cleft: Field
    """How much of a pixel is a gap in the stroma or around a nest, 0 to 1."""
    fibre_angle: Field
    """Direction of the fibres, radians, y down."""
    bundles: Field
    """Thick bundles of collagen, mean 0, variance 1."""
    fibrils: Field
    """Fine fibres, mean 0, variance about 1."""
    infiltration: Field
    """Where lymphocytes gather: relative density, positive."""

    @property
    def epithelium(self) -> NDArray[np.bool_]:
        """Pixels of epithelium, lumens left out."""
        solid: NDArray[np.bool_] = (self.inside_um > 0) & (self.lumen_um > 0)
        return solid

    @property
    def stroma(self) -> NDArray[np.bool_]:
        """Pixels outside epithelium, clefts included."""
        outside: NDArray[np.bool_] = self.inside_um <= 0
        return outside


def draw_tissue(rng: np.random.Generator, grid: Grid, scene: Scene) -> Tissue:
    """Lay out the compartments of a tile."""
    inside_um = _epithelium(rng, grid, scene)
    lumen_um, lumen_angle = _lumens(rng, grid, scene, inside_um)
    along_um, across_um, fibre_angle = _fibre_coordinates(rng, grid, scene)
    grain = Grain(rng)
    bundles = grain.look_up(along_um, across_um, 26.0, 5.0)
    fibrils = 0.7 * grain.look_up(along_um, across_um, 10.0, 1.3)
    fibrils += 0.6 * grain.look_up(along_um, across_um, 4.0, 0.7)
    fibrils *= 0.5 + 0.7 * ramp(grid.noise(rng, 9.0), -1.0, 1.2)
    gaps = bundles + 0.45 * fibrils + 0.5 * grid.noise(rng, 25.0)
    opening = 2.6 - 2.9 * scene.looseness
    cleft = ramp(-gaps, opening, opening + 0.7)
    shrunk = ramp(-grid.noise(rng, 20.0), 2.2 - 2.6 * scene.retracted, 2.6 - 2.6 * scene.retracted)
    gap_um = 0.4 + 2.0 * scene.retracted + 0.8 * grid.noise(rng, 6.0)
    around = ramp(inside_um + gap_um, 0.0, 1.2) * ramp(-inside_um, -0.4, 0.6) * shrunk
    infiltration = np.exp(1.3 * grid.noise(rng, 22.0) - 0.8)
    infiltration[inside_um > 0] /= 6
    return Tissue(
        inside_um,
        lumen_um,
        lumen_angle,
        np.maximum(cleft, around).astype(np.float32),
        fibre_angle,
        bundles,
        fibrils.astype(np.float32),
        infiltration,
    )


def _epithelium(rng: np.random.Generator, grid: Grid, scene: Scene) -> Field:
    """Distance to the edge of nests that cover the scene's share of the grid."""
    height = grid.noise(rng, scene.nest_um) + 0.3 * grid.noise(rng, 0.35 * scene.nest_um)
    height += (1.6 / scene.nest_um) * grid.noise(rng, 2.5)  # some um out and in
    if scene.epithelium_fraction <= 0:
        return np.full(grid.shape, -_FAR_UM, dtype=np.float32)
    if scene.epithelium_fraction >= 1:
        return np.full(grid.shape, _FAR_UM, dtype=np.float32)
    nests = height > np.quantile(height, 1 - scene.epithelium_fraction)
    inside_px = scipy.ndimage.distance_transform_edt(nests)
    distance_px = inside_px - scipy.ndimage.distance_transform_edt(~nests)
    distance_um: Field = (distance_px * grid.mpp).astype(np.float32)
    return distance_um


def _lumens(
    rng: np.random.Generator, grid: Grid, scene: Scene, inside_um: Field
) -> tuple[Field, Field]:
    """Distance to the nearest lumen's edge and direction from its centre."""
    distance = np.full(grid.shape, _FAR_UM, dtype=np.float32)
    angle = np.zeros(grid.shape, dtype=np.float32)
    x_um, y_um = grid.positions_um()
    wobble = 1.6 * grid.noise(rng, 6.0)
    for _ in range(rng.poisson(scene.lumens_per_mm2 * grid.area_mm2)):
        row, column = rng.integers(grid.height_px), rng.integers(grid.width_px)
        room_um = min(inside_um[row, column], distance[row, column]) - _WALL_UM
        radius_um = min(rng.uniform(*_LUMEN_RADII_UM), room_um)
        if radius_um < _LUMEN_RADII_UM[0]:
            continue
        reach = int((2 * radius_um + NEAR_LUMEN_UM) / grid.mpp)
        rows = slice(max(row - reach, 0), row + reach)
        columns = slice(max(column - reach, 0), column + reach)
        dx, dy = x_um[:, columns] - x_um[0, column], y_um[rows] - y_um[row, 0]
        squeeze = rng.uniform(0.75, 1.3)
        away = np.hypot(dx * squeeze, dy / squeeze) - radius_um + wobble[rows, columns]
        nearer = away < distance[rows, columns]
        np.copyto(distance[rows, columns], away, where=nearer)
        np.copyto(angle[rows, columns], np.arctan2(dy, dx), where=nearer)
    return distance, angle


def _fibre_coordinates(
    rng: np.random.Generator, grid: Grid, scene: Scene
) -> tuple[Field, Field, Field]:
    """Bent coordinates along and across the fibres, um, and the fibres' direction.

    Noise that is stretched along the bent axis gives wavy fibres, and the direction, at right
    angles to the gradient of the second coordinate, is known without measuring it.
    """
    x_um, y_um = grid.positions_um()
    turn = rng.uniform(0, np.pi)
    swirl_um = rng.uniform(15.0, 60.0)
    along = np.cos(turn) * x_um + np.sin(turn) * y_um + 20.0 * grid.noise(rng, 60.0)
    across = -np.sin(turn) * x_um + np.cos(turn) * y_um + swirl_um * grid.noise(rng, 70.0)
    across = across + rng.uniform(3.0, 9.0) * grid.noise(rng, 24.0)
    across = across + scene.fibre_waviness_um * grid.noise(rng, 7.0)
    slope_y, slope_x = np.gradient(across)
    angle = np.arctan2(-slope_x, slope_y)
    return along.astype(np.float32), across.astype(np.float32), angle.astype(np.float32)
