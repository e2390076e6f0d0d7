"""What painted stains share: the stains of an H&E tile taken apart, and a section photographed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.stains.optical_density import EOSIN_RGB, HAEMATOXYLIN_RGB
from napari_nunext.synthetic.optics import WARM_EOSIN_RGB, WARM_HAEMATOXYLIN_RGB, expose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.synthetic.fields import Field, Grid
    from napari_nunext.synthetic.optics import Look

_STAINS = np.array([[HAEMATOXYLIN_RGB, EOSIN_RGB], [WARM_HAEMATOXYLIN_RGB, WARM_EOSIN_RGB]]).mean(
    axis=0
)
_UNMIX = np.linalg.pinv(_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True))
"""Haematoxylin and eosin between the textbook's and those measured on BRCA-M2C."""


def haematoxylin_and_eosin(rgb: NDArray[np.uint8]) -> tuple[Field, Field]:
    """Optical densities of both at each pixel of H&E, each of shape (H, W), 0 or more."""
    density = -np.log10(np.maximum(rgb, 1).astype(np.float32) / 255)
    haematoxylin, eosin = np.moveaxis(np.clip(density @ _UNMIX.astype(np.float32), 0, None), 2, 0)
    return haematoxylin, eosin


def means_of_nuclei(values: Field, labels: NDArray[np.int32], count: int) -> Field:
    """Of the pixels of each nucleus, shape (N,); 0 where others cover it."""
    flat = labels.ravel()
    sums = np.bincount(flat, values.ravel(), count + 1)[1:]
    means: Field = (sums / np.maximum(np.bincount(flat, minlength=count + 1)[1:], 1)).astype(
        np.float32
    )
    return means


def mixed_colour(
    rng: np.random.Generator, colours_rgb: NDArray[np.float64], shares: Sequence[float]
) -> tuple[float, float, float]:
    """A colour between those of several laboratories, as a unit vector of optical density.

    Parameters
    ----------
    rng : numpy.random.Generator
    colours_rgb : ndarray, shape (N, 3)
        Optical density in red, green and blue.
    shares : sequence of float
        N parameters of a Dirichlet distribution: below 1, mixtures are near one of them.
    """
    vector = np.maximum(rng.dirichlet(shares) @ colours_rgb + rng.normal(0, 0.02, 3), 0.02)
    red, green, blue = (vector / np.linalg.norm(vector)).tolist()
    return red, green, blue


def photograph(
    rng: np.random.Generator,
    grid: Grid,
    look: Look,
    colours_rgb: tuple[tuple[float, float, float], tuple[float, float, float]],
    densities: tuple[Field, Field],
) -> NDArray[np.uint8]:
    """Photograph two stains, whose amounts are optical densities, with the camera of a look.

    Parameters
    ----------
    rng : numpy.random.Generator
    grid : Grid
    look : Look
        Of its stains, the second takes the place of DAB.
    colours_rgb : tuple of tuple of float
        Unit vectors of optical density of the two.
    densities : tuple of ndarray, each of shape (H, W)

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    first, second = colours_rgb
    camera = replace(look, stains_rgb=(first, *look.stains_rgb[1:3], second))
    per_unit = np.array(look.amounts_od, dtype=np.float32)
    nothing = np.zeros(grid.shape, dtype=np.float32)
    amounts = [
        (density / unit).astype(np.float32)
        for density, unit in zip(densities, per_unit[[0, 3]], strict=True)
    ]
    return expose(rng, grid, camera, (amounts[0], nothing, nothing, amounts[1]))
