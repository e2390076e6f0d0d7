"""Windows of an image at any scale, exact to a fraction of a pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box

_BICUBIC_SUPPORT_PX = 2
_WHITE = 255


def read_window(rgb: NDArray[np.uint8], box: Box, out_px: int) -> NDArray[np.uint8]:
    """Resample a box of an image to a square window.

    The left edge of the box is the left edge of the window's first pixel, so a point at x lies at
    ``(x - box.x0) * out_px / box.width`` in the window, corner origin in both. Antialiased bicubic;
    a box at whole pixels and of the window's size is copied bit for bit.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    box : Box
        Level-0 px; may hang over the edge of the image, where it is white, or miss it.
    out_px : int
        Side of the window.

    Returns
    -------
    ndarray of uint8, shape (out_px, out_px, 3)
        A copy.

    Raises
    ------
    InputError
        If the box is empty or `out_px` is not positive.
    """
    if out_px < 1 or box.width <= 0 or box.height <= 0:
        raise InputError(
            f"A window of {out_px} px was asked of a box of {box.width:g} x {box.height:g} px; "
            "expected both to be larger than 0."
        )
    x0, y0 = math.floor(box.x0), math.floor(box.y0)
    if box.as_tuple() == (x0, y0, x0 + out_px, y0 + out_px):
        return _crop(rgb, x0, y0, x0 + out_px, y0 + out_px)
    margin = margin_px(box, out_px)
    x0, y0 = x0 - margin, y0 - margin
    x1, y1 = math.ceil(box.x1) + margin, math.ceil(box.y1) + margin
    resized = Image.fromarray(_crop(rgb, x0, y0, x1, y1)).resize(
        (out_px, out_px),
        Image.Resampling.BICUBIC,
        box=(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0),
        reducing_gap=None,
    )
    return np.array(resized)


def margin_px(box: Box, out_px: int) -> int:
    """How far beyond a box pixels count for its window: the filter's support, and one."""
    return 1 + _BICUBIC_SUPPORT_PX * math.ceil(max(1.0, box.width / out_px, box.height / out_px))


def _crop(rgb: NDArray[np.uint8], x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    """Pixels x0..x1, y0..y1 as a copy, white outside the image."""
    height, width = rgb.shape[:2]
    canvas = np.full((y1 - y0, x1 - x0, 3), _WHITE, dtype=np.uint8)
    left, right = max(x0, 0), min(x1, width)
    top, bottom = max(y0, 0), min(y1, height)
    if left < right and top < bottom:
        canvas[top - y0 : bottom - y0, left - x0 : right - x0] = rgb[top:bottom, left:right]
    return canvas
