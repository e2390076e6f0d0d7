"""Draw a tile: compartments, nuclei in them, what lies between, and the photograph of it all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.synthetic.fields import Grid
from napari_nunext.synthetic.ground import draw_ground
from napari_nunext.synthetic.optics import draw_look, expose
from napari_nunext.synthetic.options import SynthesisOptions
from napari_nunext.synthetic.painting import paint_nuclei
from napari_nunext.synthetic.placing import place_cells
from napari_nunext.synthetic.scene import draw_scene
from napari_nunext.synthetic.tissue import draw_tissue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask

MPP_DRAWN = (0.1, 1.5)
"""Finer, and there is no detail to show; coarser, and a nucleus is a few pixels."""
_MARGIN_UM = 14.0
"""Drawn around the tile and cut off: nuclei and blur go on beyond its edge, as in real ones."""


@dataclass(frozen=True, slots=True)
class SyntheticNucleus:
    """One nucleus of a synthetic tile, known exactly."""

    x_px: float
    y_px: float
    """Centroid of `mask`, corner origin."""
    category: str
    """One of `CATEGORIES`."""
    mask: Mask
    """Its pixels in the tile: without what other nuclei cover and what lies beyond the edge."""


@dataclass(frozen=True, eq=False, slots=True)
class SyntheticTile:
    """A drawn tile and every nucleus in it."""

    rgb: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    nuclei: tuple[SyntheticNucleus, ...]
    """In no particular order; their masks share no pixel."""
    mpp: float

    @property
    def points_xy(self) -> PointsXY:
        """Centroids, shape (N, 2), corner origin."""
        return np.array([(n.x_px, n.y_px) for n in self.nuclei], dtype=np.float64).reshape(-1, 2)


def synthesise(
    rng: np.random.Generator,
    *,
    height_px: int,
    width_px: int,
    mpp: float = 0.5,
    options: SynthesisOptions | None = None,
) -> SyntheticTile:
    """Draw a tile of stained tissue.

    Everything is laid out in micrometres, so a tile shows the same tissue at any `mpp`, if not the
    same nuclei. All that looks like a nucleus is one, and is in `nuclei`.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same tile.
    height_px, width_px : int
    mpp : float
        Micrometres per pixel, 0.1 to 1.5.
    options : SynthesisOptions, optional

    Raises
    ------
    InputError
        If a side is not positive or `mpp` is outside 0.1 to 1.5.
    CalibrationError
        If `mpp` is not a scale at all.
    """
    options = options or SynthesisOptions()
    mpp = check_mpp(mpp, "The synthetic tile")
    if not MPP_DRAWN[0] <= mpp <= MPP_DRAWN[1]:
        raise InputError(
            f"mpp is {mpp:g}; synthetic tiles are drawn from {MPP_DRAWN[0]} to {MPP_DRAWN[1]}."
        )
    if height_px < 1 or width_px < 1:
        raise InputError(f"The size is {height_px} x {width_px} px; expected at least 1 x 1.")
    margin = math.ceil(_MARGIN_UM / mpp)
    grid = Grid(height_px + 2 * margin, width_px + 2 * margin, mpp)
    view = np.s_[margin : margin + height_px, margin : margin + width_px]

    scene = draw_scene(rng, options)
    tissue = draw_tissue(rng, grid, scene)
    cells = place_cells(rng, grid, tissue, scene)
    painted = paint_nuclei(rng, grid, cells, view)
    ground = draw_ground(rng, grid, tissue, painted, scene)
    look = draw_look(rng, variation=options.stain_variation, compressed=options.compressed)
    thickness = np.clip(1 + 0.07 * grid.noise(rng, 50.0), 0.7, 1.3)
    rgb = expose(
        rng,
        grid,
        look,
        (
            (painted.haematoxylin + ground.haematoxylin) * thickness,
            ground.eosin * thickness,
            ground.blood,
            painted.brown,
        ),
    )
    masks = masks_of(painted.labels[view])
    nuclei = tuple(
        SyntheticNucleus(*mask.centroid_xy, painted.cells[label - 1].category, mask)
        for label, mask in masks.items()
        if label > 0
    )
    return SyntheticTile(np.ascontiguousarray(rgb[view]), nuclei, mpp)
