"""Marks of a pen on the glass, as far as colour tells them from tissue.

Stains of tissue absorb green most: eosin, haematoxylin and their mixtures. Green ink absorbs green
least, and blue ink absorbs red far more than green. Black ink lets next to nothing through, of any
colour. Red, brown and pale ink look like a stain, and so does ink over tissue where that shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK_MIN = 0.12
"""Green ink absorbs green less than the others by this much optical density, blue ink less than
red."""
BLUE_RATIO_MIN = 1.2
"""Blue ink absorbs red so many times as much as green; haematoxylin absorbs green more."""
BLACK_MIN = 0.85
"""Black ink absorbs each colour by this much, ..."""
GREY_MAX = 0.2
"""... and one more than another by this much at most."""
UNLIKE_MIN = 0.01
"""At the edge of a stroke, pale ink absorbs green no more than another colour, by this much."""
STROKE_PX = 5
"""A stroke is so wide at least: ink that is judged at 4 um a pixel, and no dark nucleus."""
EDGE_PX = 3
"""So far a stroke's edge reaches."""


def pen_of(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels show ink that is green, blue or black, shape (H, W).

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        Bright field, some 4 um a pixel.
    """
    density = -np.log10(np.maximum(rgb, 1).astype(np.float32) / 255)
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    least, most = density.min(axis=2), density.max(axis=2)
    is_unlike_stain = green <= np.maximum(red, blue) + UNLIKE_MIN
    found = np.zeros(rgb.shape[:2], dtype=np.bool_)
    by_green = np.minimum(red, blue) - green
    by_blue = np.where((blue < green) & (red > BLUE_RATIO_MIN * green), red - green, 0)
    is_grey = most - least <= GREY_MAX
    for ink in (by_green > INK_MIN, by_blue > INK_MIN, (least > BLACK_MIN) & is_grey):
        if not ink.any():
            continue
        stroke = scipy.ndimage.binary_opening(ink, np.ones((STROKE_PX, STROKE_PX)))
        near = scipy.ndimage.maximum_filter(stroke, 2 * EDGE_PX + 1)
        found |= stroke | (near & is_unlike_stain)
    return found
