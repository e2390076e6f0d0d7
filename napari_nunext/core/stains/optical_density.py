"""Optical density, and the amounts of stains that it is made of.

Light that passes a stain is weakened by a factor of ten for each unit of optical density (OD), and
densities of stains add up (Beer and Lambert). OD here is ``-log10(level / 255)``, as QuPath has it.
By natural logarithms, as in scikit-image and in our training data, the same amount is ln 10 = 2.303
times as large: 0.2 here is 0.46 there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HAEMATOXYLIN_RGB = (0.65, 0.70, 0.29)
EOSIN_RGB = (0.07, 0.99, 0.11)
DAB_RGB = (0.27, 0.57, 0.78)
"""Optical density in red, green and blue (Ruifrok and Johnston 2001)."""

STAINS_RGB = np.array([HAEMATOXYLIN_RGB, EOSIN_RGB, DAB_RGB])
"""Haematoxylin, eosin and DAB, a row each, as they were published: not of unit length."""

OD_OF_LEVEL = -np.log10(np.maximum(np.arange(256), 1) / 255)
"""Optical density of each level of 8 bits, shape (256,): 0 for white, 2.41 for 0 and for 1."""


def unit_rows(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stains of unit length, so that an amount is the length of a stain's optical density."""
    units: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def with_residual(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two stains of unit length and what is at a right angle to both, shape (3, 3).

    The third row takes what is neither, as QuPath's *Residual*: it keeps out of the other two.
    """
    pair = unit_rows(np.stack([first, second]))
    return np.vstack([pair, unit_rows(np.cross(*pair)[np.newaxis])])


H_DAB = with_residual(STAINS_RGB[0], STAINS_RGB[2])
"""Of a section with DAB: haematoxylin, DAB, residual. There is no eosin on it."""

_DAB_OF_OD = np.linalg.inv(H_DAB)[:, 1]
_DAB_OF_LEVEL = OD_OF_LEVEL * _DAB_OF_OD[:, np.newaxis]
"""What each level of red, green and blue adds to DAB, shape (3, 256)."""


def dab_od(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Optical density of DAB at each pixel, base 10.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)

    Returns
    -------
    ndarray, shape (H, W)
        0 on glass; below 0 where a pixel is bluer than haematoxylin: that is kept, so that noise
        has a mean of 0.

    Raises
    ------
    InputError
        If `rgb` is not uint8 of shape (H, W, 3).
    """
    check_rgb(rgb)
    density: NDArray[np.float64] = sum(
        of_level[rgb[..., channel]] for channel, of_level in enumerate(_DAB_OF_LEVEL)
    )
    return density


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Refuse what is not an 8-bit RGB image.

    Raises
    ------
    InputError
        If `rgb` is not uint8 of shape (H, W, 3).
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(
            f"Pixels are {rgb.dtype} of shape {rgb.shape}; expected uint8 of shape (H, W, 3), RGB. "
            "Open the file with napari_nunext.images, which converts."
        )
