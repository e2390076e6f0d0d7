"""Paint periodic acid-Schiff (PAS) over a tile of H&E whose nuclei are known.

Haematoxylin is kept, stronger or weaker. Schiff's magenta takes the place of eosin: pale where
eosin was, strong in lines around groups of nuclei as basement membranes are, granular in the
cytoplasm of some, dense in drops as of mucin and casts. Nuclei are where they were. **Ours**: no
paper says how. Colours and amounts are those of 18 tiles of kidney (docs/decisions/trunk.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.stains.optical_density import HAEMATOXYLIN_RGB
from napari_nunext.synthetic.fields import Grid
from napari_nunext.synthetic.optics import draw_look
from nunext_training.data.painted.separating import (
    haematoxylin_and_eosin,
    means_of_nuclei,
    mixed_colour,
    photograph,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.synthetic.fields import Field

_NUCLEI = np.array([HAEMATOXYLIN_RGB, (0.55, 0.73, 0.41)])
"""Optical density of haematoxylin: the textbook's, and that of nuclei in kidney."""

_SCHIFF = np.array([(0.175, 0.972, 0.155), (0.27, 0.87, 0.42)])
"""Optical density of Schiff's magenta: the one that colour deconvolution in ImageJ has, and that of
membranes in kidney."""

_NUCLEUS_OD_MIN = 0.05
"""A tile whose nuclei are paler than this has no haematoxylin to scale."""


@dataclass(frozen=True, slots=True)
class _Staining:
    """How one section came out; densities are of Schiff's magenta where nothing else is said."""

    nucleus_od: float
    """Haematoxylin of a middling nucleus."""
    ground: float
    """Magenta between the nuclei, as a share of eosin."""
    membrane_od: float
    """Lines around groups of nuclei."""
    membrane_um: float
    """How far from nuclei these lie."""
    width_um: float
    """Standard deviation across a line."""
    grain_od: float
    """Granules, as of glycogen and brush borders."""
    drops_od: float
    """Mucin, hyaline and casts; 0: none."""
    over_nuclei: float
    """Share of magenta that lies over and under nuclei: sections are thicker than membranes."""


def paint_pas(
    rng: np.random.Generator, rgb: NDArray[np.uint8], labels: NDArray[np.int32], *, mpp: float
) -> NDArray[np.uint8]:
    """Paint one section over a tile.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same section.
    rgb : ndarray of uint8, shape (H, W, 3)
        H&E.
    labels : ndarray of int32, shape (H, W)
        Nucleus of each pixel, counted from 1; 0 between nuclei.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    staining = _draw(rng)
    grid = Grid(labels.shape[0], labels.shape[1], mpp)
    haematoxylin, eosin = haematoxylin_and_eosin(rgb)
    tissue = np.clip((haematoxylin + eosin) / 0.15, 0, 1)
    wide = scipy.ndimage.gaussian_filter(tissue, 2.0 / mpp)
    magenta = staining.ground * eosin
    magenta += wide * _membranes(rng, staining, labels, grid)
    magenta += tissue * _granules(rng, staining, grid)
    magenta += wide * _drops(rng, staining, grid)
    inside = scipy.ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.4 / mpp)
    magenta *= 1 - (1 - staining.over_nuclei) * inside
    look = draw_look(rng, variation=1.0, compressed=True)
    colours = (mixed_colour(rng, _NUCLEI, (0.6, 0.9)), mixed_colour(rng, _SCHIFF, (0.5, 2.0)))
    blue = haematoxylin * _strength(staining, haematoxylin, labels)
    return photograph(rng, grid, look, colours, (blue, magenta))


def _draw(rng: np.random.Generator) -> _Staining:
    return _Staining(
        nucleus_od=float(np.exp(rng.uniform(np.log(0.3), np.log(0.85)))),
        ground=float(rng.uniform(0.15, 0.9)),
        membrane_od=float(rng.choice([0.0, rng.uniform(0.1, 0.35), rng.uniform(0.3, 0.9)])),
        membrane_um=float(rng.uniform(2.0, 6.0)),
        width_um=float(rng.uniform(0.4, 1.0)),
        grain_od=float(rng.choice([0.0, rng.uniform(0.03, 0.2), rng.uniform(0.1, 0.35)])),
        drops_od=float(rng.choice([0.0, 0.0, rng.uniform(0.3, 0.8)])),
        over_nuclei=float(rng.uniform(0.1, 0.6)),
    )


def _strength(staining: _Staining, haematoxylin: Field, labels: NDArray[np.int32]) -> float:
    """What haematoxylin is multiplied by, so that nuclei get the drawn density."""
    means = means_of_nuclei(haematoxylin, labels, int(labels.max(initial=0)))
    seen = means[means > _NUCLEUS_OD_MIN]
    return float(np.clip(staining.nucleus_od / np.median(seen), 0.4, 2.5)) if seen.size else 1.0


def _membranes(
    rng: np.random.Generator, staining: _Staining, labels: NDArray[np.int32], grid: Grid
) -> Field:
    """Lines around nuclei that are near each other, as around tubules, glands and capillaries."""
    nothing = np.zeros(grid.shape, dtype=np.float32)
    if not staining.membrane_od or not labels.any():
        return nothing
    apart_um = scipy.ndimage.distance_transform_edt(labels == 0, sampling=grid.mpp)
    apart_um = scipy.ndimage.gaussian_filter(apart_um.astype(np.float32), 2.0 / grid.mpp)
    wavy = apart_um - staining.membrane_um - 1.2 * grid.noise(rng, 20.0)
    slope = np.hypot(*np.gradient(wavy, grid.mpp))
    across_um = wavy / np.maximum(slope, 0.3)
    lines = np.exp(-0.5 * (across_um / staining.width_um) ** 2)
    uneven = np.clip(0.8 + 0.6 * grid.noise(rng, 20.0), 0, 2)
    drawn: Field = (staining.membrane_od * lines * uneven).astype(np.float32)
    return drawn


def _granules(rng: np.random.Generator, staining: _Staining, grid: Grid) -> Field:
    """Grains of about a micrometre, thick in some patches and absent from others."""
    patches = np.clip(grid.noise(rng, 15.0), 0, 1.5)
    grains = np.clip(grid.noise(rng, 0.7), 0, 2.5)
    drawn: Field = (staining.grain_od * patches * grains).astype(np.float32)
    return drawn


def _drops(rng: np.random.Generator, staining: _Staining, grid: Grid) -> Field:
    """Smooth dense bodies with sharp rims."""
    height = grid.noise(rng, float(rng.uniform(4.0, 15.0)))
    drawn: Field = (staining.drops_od * np.clip((height - 1.6) / 0.15, 0, 1)).astype(np.float32)
    return drawn
