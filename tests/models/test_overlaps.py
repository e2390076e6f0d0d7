from __future__ import annotations

import numpy as np

from napari_nunext.core.shapes.masks import Mask, label_image
from napari_nunext.models.segmenter import ScoredMask
from napari_nunext.models.whole_image.overlaps import resolve_overlaps


def square(x0: int, y0: int, side: int, score: float) -> ScoredMask:
    return ScoredMask(Mask.from_array(np.ones((side, side), bool), x0, y0), score)


def test_of_two_masks_with_much_in_common_the_surer_stays() -> None:
    assert resolve_overlaps([square(0, 0, 10, 0.6), square(1, 1, 10, 0.9)]) == (1,)


def test_masks_with_little_in_common_both_stay_the_surest_painted_last() -> None:
    masks = [square(0, 0, 10, 0.9), square(6, 0, 10, 0.5), square(40, 40, 5, 0.7)]
    order = resolve_overlaps(masks)
    assert order == (1, 2, 0)
    labels = label_image([masks[i].mask for i in order], 50, 50)
    assert labels[5, 8] == 3, "where two overlap, the surest lies on top"


def test_the_limit_itself_is_allowed() -> None:
    masks = [square(0, 0, 10, 0.9), square(0, 5, 10, 0.5)]  # 50 of 150 in common
    assert resolve_overlaps(masks, iou=50 / 150) == (1, 0)
    assert resolve_overlaps(masks, iou=50 / 150 - 1e-9) == (0,)


def test_a_mask_that_was_dropped_drops_no_other() -> None:
    chain = [square(0, 0, 10, 0.9), square(3, 0, 10, 0.8), square(6, 0, 10, 0.7)]
    assert resolve_overlaps(chain) == (2, 0)


def test_ties_go_to_the_earlier_and_empty_masks_go() -> None:
    empty = ScoredMask(Mask.from_array(np.zeros((4, 4), bool)), 1.0)
    assert resolve_overlaps([square(0, 0, 9, 0.5), square(0, 0, 9, 0.5), empty]) == (0,)
    assert resolve_overlaps([]) == ()
