"""Stain jitter: slides of other laboratories, from one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.stains.optical_density import STAINS_RGB, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAINS = unit_rows(STAINS_RGB)
"""Optical density per unit of haematoxylin, eosin and DAB (rows) in red, green and blue."""

_UNMIX = np.linalg.inv(STAINS)


def scale_stains(rgb: NDArray[np.uint8], factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Multiply the amount of each stain.

    The image is unmixed in optical density, ``od = -log(rgb / 255)``, scaled, and mixed again. Only
    amounts are scaled and nothing is added, so glass, and the white beyond an image, stay white.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    factors : ndarray, shape (3,)
        For haematoxylin, eosin and DAB; ones change nothing.
    """
    # Linear in optical density, hence one 3 x 3 matrix and one table of logarithms.
    od = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
    matrix = (_UNMIX @ np.diag(factors) @ STAINS).astype(np.float32)
    mixed = np.exp(-(od[rgb] @ matrix)) * 255
    jittered: NDArray[np.uint8] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return jittered


def stain_amounts(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much of haematoxylin, eosin and DAB there is at each pixel.

    Returns
    -------
    ndarray, shape (..., 3)
        Optical density (natural logarithm) that each stain alone would have, as the length of the
        vector of its three colours; negative where another stain explains more than there is.
    """
    od = -np.log(np.maximum(rgb, 1).astype(np.float64) / 255)
    amounts: NDArray[np.float64] = od @ _UNMIX
    return amounts


def random_factors(rng: np.random.Generator, strength: float) -> NDArray[np.float64]:
    """Factors for `scale_stains`, log-uniform in ``exp(-strength)..exp(strength)``. Shape (3,)."""
    return np.exp(rng.uniform(-strength, strength, size=3))
