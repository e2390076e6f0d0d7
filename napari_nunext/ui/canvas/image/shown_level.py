"""A level of a slide for napari: as fine as it was read, and never waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import MAX_PIXELS
from napari_nunext.ui.canvas.image.pyramid import Level

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_nunext.ui.canvas.image.blocks import Blocks


class ShownLevel(Level):
    """A level of a slide as fine as it was read, at once.

    Parameters
    ----------
    blocks : Blocks
    level : int
    width_px, height_px : int
    """

    def __init__(self, blocks: Blocks, level: int, width_px: int, height_px: int) -> None:
        super().__init__(width_px, height_px)
        self._blocks = blocks
        self._level = level

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Of the coarsest level the array that is being filled, which napari holds on to."""
        return np.asarray(self._read(0, 0, *self.shape[1::-1]), dtype=dtype)

    def _read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        if (x1 - x0) * (y1 - y0) > MAX_PIXELS:
            raise ImageError(
                f"{x1 - x0} x {y1 - y0} px of a slide were asked for at once; expected at most "
                f"{MAX_PIXELS // 1_000_000} million pixels. Take a coarser level, or a part."
            )
        return self._blocks.shown(self._level, x0, y0, x1, y1)
