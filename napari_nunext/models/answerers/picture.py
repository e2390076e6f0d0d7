"""The picture that a model is sent, of exactly the size whose tokens were counted."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.answers.budget import SentPicture
    from napari_nunext.core.image.source import ImageSource


def draw(image: ImageSource, sent: SentPicture) -> NDArray[np.uint8]:
    """Pixels of a region, resampled to the size that is sent, shape (H, W, 3).

    They are read from the coarsest level that is still as fine as the picture. Antialiased bicubic.
    A point at x lies at ``(x - region.x0) * W / region.width``.
    """
    region = sent.region
    ratio = min(region.width / sent.width_px, region.height / sent.height_px)
    level = max(i for i, each in enumerate(image.levels) if i == 0 or each <= ratio)
    scale = image.levels[level]
    pixels = image.read_region(region, level)
    # Whole pixels of the level; the region begins within the first one.
    x0, y0 = math.floor(region.x0 / scale), math.floor(region.y0 / scale)
    box = (
        region.x0 / scale - x0,
        region.y0 / scale - y0,
        min(region.x1 / scale - x0, pixels.shape[1]),
        min(region.y1 / scale - y0, pixels.shape[0]),
    )
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (sent.width_px, sent.height_px), Image.Resampling.BICUBIC, box=box, reducing_gap=None
    )
    return np.asarray(resized)


def png_url(rgb: NDArray[np.uint8]) -> str:
    """A picture as a data URL. PNG: every server takes it, and not a pixel changes."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
