"""How much haematoxylin a pixel holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.stains.optical_density import OD_OF_LEVEL, STAINS_RGB, check_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

# DAB has its row on plain H&E too: what is brown there (pigment, formalin) is no nucleus either.
_HAEMATOXYLIN_OF_OD = np.linalg.inv(STAINS_RGB)[:, 0].astype(np.float32)
_OD_OF_LEVEL = OD_OF_LEVEL.astype(np.float32)


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
