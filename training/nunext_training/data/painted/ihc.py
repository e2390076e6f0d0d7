"""Paint immunohistochemistry over a tile of H&E whose nuclei are known.

Haematoxylin is kept as counterstain, eosin is left out, and diaminobenzidine (DAB) is laid into
some of the nuclei: weak or strong, even or granular, over a background that may be stained as well,
with stained membranes around nuclei. Light, camera and compression are those of drawn tissue
(`napari_nunext.synthetic.optics`). **Ours**: no paper says how.
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

_COUNTERSTAINS = np.array([HAEMATOXYLIN_RGB, (0.58, 0.63, 0.51), (0.76, 0.54, 0.36)])
"""Optical density of haematoxylin without eosin: the textbook's, which is H&E's, grey-blue as on
EndoNuke, and blue as on a section of Ki-67 by another scanner. Painted with H&E's alone, sections
looked purple, and a detector that learned from them took real ones for H&E."""

WEAKEST_OD = 0.12
"""Mean DAB of the weakest nucleus that is called positive: paler ones divide pathologists too."""
_STRONGEST_OD = 2.4
_BACKGROUND_OD = 0.05
"""The most DAB that lies in a nucleus that is called negative."""


@dataclass(frozen=True, slots=True)
class _Staining:
    """How one section came out."""

    prevalence: float
    """Share of positive nuclei where they are likeliest."""
    level_od: float
    """DAB of a middling positive nucleus."""
    spread: float
    """Deviation of the logarithm of that among nuclei."""
    grain: float
    """How uneven it is within a nucleus."""
    counterstain: float
    """Haematoxylin, as a share of the H&E section's."""
    ground_od: float
    """DAB between the nuclei."""
    membrane_od: float
    """DAB around nuclei that are negative; 0: no membranes."""
    spotted: bool
    """Whether neighbours go together, as in tumour nests."""


@dataclass(frozen=True, eq=False, slots=True)
class PaintedIhc:
    """A painted tile."""

    rgb: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    positive: NDArray[np.bool_]
    """Of each nucleus, shape (N,)."""


def paint_ihc(
    rng: np.random.Generator, rgb: NDArray[np.uint8], labels: NDArray[np.int32], *, mpp: float
) -> PaintedIhc:
    """Paint one section over a tile.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same section.
    rgb : ndarray of uint8, shape (H, W, 3)
        H&E.
    labels : ndarray of int32, shape (H, W)
        Nucleus of each pixel, counted from 1; 0 between nuclei. What is no nucleus' own stays
        negative.
    mpp : float
        Micrometres per pixel.
    """
    staining = _draw(rng)
    grid = Grid(labels.shape[0], labels.shape[1], mpp)
    haematoxylin, eosin = haematoxylin_and_eosin(rgb)
    count = int(labels.max(initial=0))
    levels = _levels(rng, staining, labels, grid, count)
    levels[np.bincount(labels.ravel(), minlength=count + 1)[1:] == 0] = 0  # wholly covered
    dab = _nuclear(rng, staining, labels, grid, levels, haematoxylin)
    cover = np.clip(dab / 0.5, 0, 1)
    ground = staining.ground_od * np.clip(eosin / 0.3, 0, 1.5)
    if staining.membrane_od:
        ground = ground + _membranes(rng, staining, labels, grid)
    # Brown hides blue, and eosin leaves a little blue of its own: ribonucleic acid takes it too.
    blue = staining.counterstain * (haematoxylin * (1 - 0.5 * cover) + 0.08 * eosin)
    look = draw_look(rng, variation=1.0, compressed=True)
    colours = (mixed_colour(rng, _COUNTERSTAINS, (0.5, 0.8, 0.8)), look.stains_rgb[3])
    brown = np.maximum(dab, ground * (1 - cover))
    painted = photograph(rng, grid, look, colours, (blue, brown))
    return PaintedIhc(painted, levels >= WEAKEST_OD)


def _draw(rng: np.random.Generator) -> _Staining:
    return _Staining(
        prevalence=float(rng.beta(0.8, 0.9)),
        level_od=float(np.exp(rng.uniform(np.log(0.18), np.log(2.0)))),
        spread=float(rng.uniform(0.1, 0.5)),
        grain=float(rng.uniform(0.05, 0.35)),
        counterstain=float(rng.uniform(0.4, 1.1)),
        ground_od=float(rng.choice([0.0, rng.uniform(0, 0.08), rng.uniform(0.08, 0.4)])),
        membrane_od=float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.15, 0.5)])),
        spotted=bool(rng.random() < 0.5),
    )


def _levels(
    rng: np.random.Generator,
    staining: _Staining,
    labels: NDArray[np.int32],
    grid: Grid,
    count: int,
) -> Field:
    """Mean DAB of each nucleus, shape (N,): none between `_BACKGROUND_OD` and `WEAKEST_OD`."""
    chance = np.full(count, staining.prevalence, dtype=np.float32)
    if staining.spotted and count:
        nests = grid.noise(rng, 40.0)
        chance = np.clip(chance + 0.35 * means_of_nuclei(nests, labels, count), 0, 1)
    level = staining.level_od * np.exp(staining.spread * rng.standard_normal(count))
    # On a brown ground a nucleus is called positive where it stands out.
    level = np.clip(level, max(WEAKEST_OD, 1.4 * staining.ground_od), _STRONGEST_OD)
    faint = rng.uniform(0, _BACKGROUND_OD, count)
    drawn: Field = np.where(rng.random(count) < chance, level, faint).astype(np.float32)
    return drawn


def _nuclear(
    rng: np.random.Generator,
    staining: _Staining,
    labels: NDArray[np.int32],
    grid: Grid,
    levels: Field,
    haematoxylin: Field,
) -> Field:
    """DAB in nuclei: as their chromatin lies, uneven, with soft rims."""
    count = len(levels)
    if not count:
        return np.zeros(grid.shape, dtype=np.float32)
    means = means_of_nuclei(haematoxylin, labels, count)
    chromatin = np.ones(grid.shape, dtype=np.float32)
    inside = labels > 0
    nucleus = labels[inside] - 1
    relative = haematoxylin[inside] / np.maximum(means[nucleus], 0.02)
    chromatin[inside] = np.clip(0.6 + 0.4 * relative, 0.4, 1.8)
    chromatin *= np.clip(1 + staining.grain * grid.noise(rng, 0.6), 0.3, 2.0)
    dab = np.zeros(grid.shape, dtype=np.float32)
    dab[inside] = levels[nucleus]
    blurred: Field = scipy.ndimage.gaussian_filter(dab * chromatin, 0.35 / grid.mpp)
    return blurred


def _membranes(
    rng: np.random.Generator, staining: _Staining, labels: NDArray[np.int32], grid: Grid
) -> Field:
    """Brown lines half way between nuclei that are near each other."""
    apart_um, nearest = scipy.ndimage.distance_transform_edt(
        labels == 0, sampling=grid.mpp, return_indices=True
    )
    owner = labels[tuple(nearest)]
    edge = np.zeros(grid.shape, dtype=bool)
    edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    edge[1:] |= owner[1:] != owner[:-1]
    near = (apart_um > 0.5) & (apart_um < 6.0)
    lines = scipy.ndimage.gaussian_filter((edge & near).astype(np.float32), 0.5 / grid.mpp)
    uneven = np.clip(1 + 0.5 * grid.noise(rng, 10.0), 0, None)
    line: Field = staining.membrane_od * np.clip(2.5 * lines, 0, 1) * uneven
    return line
