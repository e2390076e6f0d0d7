"""A detector's window as a segmenter sees it: at the segmenter's own scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.models.segmenter import SegmenterInfo

WHITE = 255


class SegmenterView:
    """Puts a window into the top left corner of the segmenter's, and leaves the rest white.

    Parameters
    ----------
    info : SegmenterInfo
    window_px : int
        Side of the detector's windows.
    mpp : float
        Micrometres per pixel of the detector's windows.

    Raises
    ------
    InputError
        If a window, at the segmenter's scale, is larger than what the segmenter sees.
    """

    def __init__(self, info: SegmenterInfo, window_px: int, mpp: float) -> None:
        self.window_px = window_px
        self.whole_px = info.window_px
        """Side of what the segmenter sees, in its pixels."""
        self.side_px = max(1, round(window_px * mpp / info.mpp))
        """Side of the detector's window in the segmenter's pixels."""
        if self.side_px > info.window_px:
            raise InputError(
                f"A window of {window_px} px at {mpp:g} um/px is {self.side_px} px for the "
                f"segmenter {info.name}, which sees {info.window_px} px. Choose another segmenter."
            )

    @property
    def scale(self) -> float:
        """Pixels of the segmenter for each of the window."""
        return self.side_px / self.window_px

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the segmenter sees of a window, shape (whole_px, whole_px, 3)."""
        side = self.side_px
        seen = np.full((self.whole_px, self.whole_px, 3), WHITE, dtype=np.uint8)
        resized = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
        seen[:side, :side] = np.asarray(resized)
        return seen
