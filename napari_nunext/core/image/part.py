"""As much of an image as a picture of one of its regions is drawn from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import ImageSource


def part_for(
    image: ImageSource, region: Box, width_px: int, height_px: int
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """The pixels to draw a region from, and which box of them it is, in their own pixels.

    They are of the coarsest level that is still as fine as the picture, shape (H, W, 3), read-only.
    """
    ratio = min(region.width / width_px, region.height / height_px)
    level = max(i for i, each in enumerate(image.levels) if i == 0 or each <= ratio)
    scale = image.levels[level]
    pixels = image.read_region(region, level)
    # Whole pixels of the level; the region begins within the first one.
    x0, y0 = math.floor(region.x0 / scale), math.floor(region.y0 / scale)
    return pixels, (
        region.x0 / scale - x0,
        region.y0 / scale - y0,
        min(region.x1 / scale - x0, pixels.shape[1]),
        min(region.y1 / scale - y0, pixels.shape[0]),
    )
