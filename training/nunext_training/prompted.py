"""Masks of a window that points prompt, for the task-guided reward (NuNext, Eq. 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.core.masks import label_image
from napari_nunext.models.overlaps import resolve_overlaps
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.models.segmenter import Segmenter

WHITE = 255


class PromptedMasks:
    """One positive point for each nucleus, overlaps resolved as PromptNucSeg does.

    Parameters
    ----------
    segmenter : Segmenter
    window_px : int
        Side of the detector's windows.
    mpp : float
        Micrometres per pixel of the detector's windows.

    Raises
    ------
    InputError
        If a window, at the segmenter's scale, is larger than what the segmenter sees.
    """

    def __init__(self, segmenter: Segmenter, window_px: int, mpp: float) -> None:
        info = segmenter.info
        self._segmenter = segmenter
        self._window_px = window_px
        self._side_px = max(1, round(window_px * mpp / info.mpp))
        """Side of the detector's window in the segmenter's pixels."""
        if self._side_px > info.window_px:
            raise InputError(
                f"A window of {window_px} px at {mpp:g} um/px is {self._side_px} px for the "
                f"segmenter {info.name}, which sees {info.window_px} px. Choose another segmenter."
            )

    @property
    def checkpoint_sha256(self) -> str | None:
        """Content hash of the segmenter, where it has one."""
        return self._segmenter.info.checkpoint_sha256

    def __call__(self, rgb: NDArray[np.uint8], points_xy: PointsXY) -> NDArray[np.int32]:
        """Draw the label image of a window.

        Parameters
        ----------
        rgb : ndarray of uint8, shape (window_px, window_px, 3)
            The same pixels again cost the segmenter no second look.
        points_xy : ndarray, shape (N, 2)
            Pixels of the window.

        Returns
        -------
        ndarray of int32, shape (window_px, window_px)
            0 is background. A point whose mask is empty or suppressed has no label.
        """
        if len(points_xy) == 0:
            return np.zeros((self._window_px, self._window_px), dtype=np.int32)
        scale = self._side_px / self._window_px
        prompts = [Prompt(point[None] * scale, (True,)) for point in points_xy]
        masks = list(self._segmenter.segment(self._seen(rgb), prompts))
        painted = [masks[i].mask for i in resolve_overlaps(masks)]
        labels = label_image(painted, self._side_px, self._side_px)
        at = np.floor((np.arange(self._window_px) + 0.5) * scale).astype(int)
        return labels[np.ix_(at, at)]

    def _seen(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The window at the segmenter's scale, white beyond it."""
        side, whole = self._side_px, self._segmenter.info.window_px
        seen = np.full((whole, whole, 3), WHITE, dtype=np.uint8)
        resized = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
        seen[:side, :side] = np.asarray(resized)
        return seen
