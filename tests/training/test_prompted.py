from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from nunext_training.tasks.prompted_masks import PromptedMasks


class Squares:
    """A segmenter that draws a square of 2 r + 1 px around each point; later ones are surer."""

    def __init__(self, window_px, mpp, r=1):
        self.info = SegmenterInfo("squares", "test", mpp, window_px)
        self.seen = []
        self._r = r

    def segment(self, window, prompts, *, cancelled=lambda: False):
        self.seen.append(window)
        side = 2 * self._r + 1
        for i, prompt in enumerate(prompts):
            x, y = np.floor(prompt.points_xy[0]).astype(int)
            full = np.ones((side, side), dtype=bool)
            yield ScoredMask(Mask.from_array(full, x - self._r, y - self._r), 0.5 + 0.01 * i)


def test_points_are_prompted_at_the_segmenters_scale_and_drawn_at_the_detectors():
    segmenter = Squares(128, mpp=0.25, r=3)  # 64 of its 128 px are the window
    rgb = np.full((32, 32, 3), 90, dtype=np.uint8)
    labels = PromptedMasks(segmenter, 32, 0.5)(rgb, np.array([(8.25, 8.25), (20.25, 24.25)]))
    assert labels.shape == (32, 32)
    (seen,) = segmenter.seen
    assert (seen[:64, :64] == 90).all()
    assert (seen[64:] == 255).all()
    assert (seen[:, 64:] == 255).all()
    # 13..19 of 64 along each axis are the pixels 6..9 of 32 whose centres are inside.
    y, x = np.nonzero(labels == labels[8, 8])
    assert (x.min(), x.max(), y.min(), y.max()) == (6, 9, 6, 9)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_of_two_prompts_of_one_nucleus_the_surer_one_stays():
    labels = PromptedMasks(Squares(32, mpp=0.5), 32, 0.5)(
        np.zeros((32, 32, 3), dtype=np.uint8), np.array([(8.5, 8.5), (8.5, 8.5)])
    )
    assert (labels > 0).sum() == 9
    assert len(np.unique(labels)) == 2


def test_nothing_to_prompt_asks_nobody():
    segmenter = Squares(32, mpp=0.5)
    labels = PromptedMasks(segmenter, 32, 0.5)(
        np.zeros((32, 32, 3), dtype=np.uint8), np.empty((0, 2))
    )
    assert not labels.any()
    assert segmenter.seen == []


def test_a_window_that_the_segmenter_does_not_see_whole_is_refused():
    with pytest.raises(InputError, match="64 px for the segmenter squares, which sees 32 px"):
        PromptedMasks(Squares(32, mpp=0.25), 32, 0.5)
