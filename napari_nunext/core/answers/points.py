"""Prompt text and its replies in words.

The instruction is NuNext's own. Models of this project reply in coordinate tokens
(`napari_nunext.core.codec`); `points_text` is the same reply in plain words, for the records that
other trainers read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_nunext.core.geometry import PointsXY

NUCLEUS_INSTRUCTION = "Point to nucleus. Output the coordinates in [x, y] format."
"""NuNext, Fig. 2; the prompt that a checkpoint is trained with unless it declares another."""


def points_text(points_xy: PointsXY) -> str:
    """Points as ``[x, y], [x, y]`` in raster order, whole pixels of the image they lie in.

    A pixel is the one that contains the point (floor). No point gives the empty string.
    """
    pixels = np.floor(points_xy).astype(int)
    order = np.lexsort((pixels[:, 0], pixels[:, 1]))
    return ", ".join(f"[{x}, {y}]" for x, y in pixels[order].tolist())
