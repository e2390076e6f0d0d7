"""How much haematoxylin a pixel holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAINS_RGB = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density of haematoxylin, eosin and DAB in red, green and blue (Ruifrok, Johnston 2001).

DAB has its row on plain H&E too: what is brown there (pigment, formalin) is no nucleus either.
"""

_HAEMATOXYLIN_OF_OD = np.linalg.inv(STAINS_RGB)[:, 0].astype(np.float32)
_OD_OF_LEVEL = -np.log10(np.maximum(np.arange(256), 1) / 255).astype(np.float32)


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


def haematoxylin_od(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density of haematoxylin, shape (H, W), 0 on glass and on pure eosin or DAB.

    Linear unmixing with fixed stain vectors. Vectors estimated from each tile (Macenko) were worse:
    see docs/decisions/classical-floor.md.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)

    References
    ----------
    Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution (2001).
    """
    check_rgb(rgb)
    density = _OD_OF_LEVEL[rgb] @ _HAEMATOXYLIN_OF_OD
    return np.maximum(density, 0, out=density)
