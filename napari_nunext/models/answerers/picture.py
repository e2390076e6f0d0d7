"""The picture that a model is sent, of exactly the size whose tokens were counted."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.image.part import part_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.answers.budget import SentPicture
    from napari_nunext.core.image.source import ImageSource


def draw(image: ImageSource, sent: SentPicture) -> NDArray[np.uint8]:
    """Pixels of a region, resampled to the size that is sent, shape (H, W, 3).

    They are read from the coarsest level that is still as fine as the picture. Antialiased bicubic.
    A point at x lies at ``(x - region.x0) * W / region.width``.
    """
    pixels, box = part_for(image, sent.region, sent.width_px, sent.height_px)
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (sent.width_px, sent.height_px), Image.Resampling.BICUBIC, box=box, reducing_gap=None
    )
    return np.asarray(resized)


def png_url(rgb: NDArray[np.uint8]) -> str:
    """A picture as a data URL. PNG: every server takes it, and not a pixel changes."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
