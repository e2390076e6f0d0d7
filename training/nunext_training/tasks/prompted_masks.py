"""Masks of a window that points prompt, for the task-guided reward (NuNext, Eq. 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.shapes.masks import label_image
from napari_nunext.models.segmenter import Prompt
from napari_nunext.models.whole_image.overlaps import resolve_overlaps
from nunext_training.data.segmenter_view import SegmenterView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.models.segmenter import Segmenter


class PromptedMasks:
    """One positive point for each nucleus, overlaps resolved as PromptNucSeg does.

    Parameters
    ----------
    segmenter : Segmenter
    window_px, mpp
        Of the detector's windows, as `SegmenterView` takes them.

    Raises
    ------
    InputError
        If the segmenter does not see a whole window; see `SegmenterView`.
    """

    def __init__(self, segmenter: Segmenter, window_px: int, mpp: float) -> None:
        self._segmenter = segmenter
        self._view = SegmenterView(segmenter.info, window_px, mpp)

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
        window_px, side_px, scale = self._view.window_px, self._view.side_px, self._view.scale
        if len(points_xy) == 0:
            return np.zeros((window_px, window_px), dtype=np.int32)
        prompts = [Prompt(point[None] * scale, (True,)) for point in points_xy]
        masks = list(self._segmenter.segment(self._view(rgb), prompts))
        painted = [masks[i].mask for i in resolve_overlaps(masks)]
        labels = label_image(painted, side_px, side_px)
        at = np.floor((np.arange(window_px) + 0.5) * scale).astype(int)
        return labels[np.ix_(at, at)]
