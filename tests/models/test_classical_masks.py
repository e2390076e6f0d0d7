from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.core.stains.optical_density import STAINS_RGB
from napari_nunext.models.classical.masks import segment_points, segment_prompts
from napari_nunext.models.segmenter import Prompt, ScoredMask

MPP = 0.5


def tissue(*ellipses: tuple[float, float, float, float], side: int = 120) -> np.ndarray:
    """Pink tissue with nuclei (x, y, half width, half height), px."""
    y, x = np.indices((side, side)) + 0.5
    blue = np.zeros((side, side))
    for cx, cy, a, b in ellipses:
        blue[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1] = 0.6
    density = blue[..., None] * STAINS_RGB[0] + 0.2 * STAINS_RGB[1]
    return np.rint(255 * 10.0**-density).astype(np.uint8)


def full(mask: ScoredMask, side: int = 120) -> np.ndarray:
    return label_image([mask.mask], side, side) == 1


def iou(mask: np.ndarray, ellipse: tuple[float, float, float, float]) -> float:
    y, x = np.indices(mask.shape) + 0.5
    cx, cy, a, b = ellipse
    true = ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1
    return float((mask & true).sum() / (mask | true).sum())


@pytest.mark.parametrize("ellipse", [(60, 60, 8, 8), (30.5, 80.5, 12, 6), (90, 40, 5, 5)])
def test_a_nucleus_is_outlined(ellipse: tuple[float, float, float, float]) -> None:
    (answer,) = segment_points(tissue(ellipse), [ellipse[:2]], mpp=MPP)
    assert iou(full(answer), ellipse) > 0.85
    assert answer.score > 0.8


def test_touching_nuclei_are_parted_where_they_touch() -> None:
    pair = [(50.0, 60.0, 9.0, 9.0), (68.0, 60.0, 9.0, 9.0)]
    masks = segment_points(tissue(*pair), [e[:2] for e in pair], mpp=MPP)
    assert all(iou(full(m), e) > 0.8 for m, e in zip(masks, pair, strict=True))
    assert not (full(masks[0]) & full(masks[1])).any()


def test_a_point_off_centre_finds_the_same_nucleus() -> None:
    ellipse = (60.0, 60.0, 9.0, 9.0)
    (answer,) = segment_points(tissue(ellipse), [(64.0, 57.0)], mpp=MPP)
    assert iou(full(answer), ellipse) > 0.8


def test_on_glass_the_answer_is_a_small_disc_of_score_0() -> None:
    glass = np.full((120, 120, 3), 255, np.uint8)
    (answer,) = segment_points(glass, [(60.0, 60.0)], mpp=MPP)
    assert answer.score == 0
    assert answer.mask.area_px * MPP**2 == pytest.approx(np.pi * 2.0**2, rel=0.1)
    assert full(answer)[60, 60]


def test_beside_any_nucleus_the_answer_is_a_small_disc() -> None:
    (answer,) = segment_points(tissue((60, 60, 6, 6)), [(60.0, 48.0)], mpp=MPP)
    assert answer.score == 0


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
def test_no_mask_reaches_further_than_the_radius(mpp: float) -> None:
    sheet = tissue((60, 60, 200, 8))
    (answer,) = segment_points(sheet, [(60.0, 60.0)], mpp=mpp)
    rows, cols = np.nonzero(full(answer))
    assert np.hypot(cols + 0.5 - 60, rows + 0.5 - 60).max() * mpp <= 8.0


def test_points_outside_and_on_one_pixel_get_a_mask_each_though_empty() -> None:
    rgb = tissue((60, 60, 8, 8))
    inside, twin, outside = segment_points(rgb, [(60, 60), (60.2, 60.2), (-5, 300)], mpp=MPP)
    assert inside.mask.area_px > 100
    assert (twin.mask.area_px, outside.mask.area_px) == (0, 0)
    assert (outside.score, twin.score) == (0, 0)


def test_no_points_give_no_masks() -> None:
    assert segment_points(tissue(), np.empty((0, 2)), mpp=MPP) == []


def test_a_negative_point_pushes_the_mask_back() -> None:
    pair = [(50.0, 60.0, 9.0, 9.0), (66.0, 60.0, 9.0, 9.0)]
    alone = Prompt(np.array([[50.0, 60.0]]), (True,))
    corrected = Prompt(np.array([[50.0, 60.0], [68.0, 60.0]]), (True, False))
    rgb = tissue(*pair)
    (before,) = segment_prompts(rgb, [alone], mpp=MPP)
    (after,) = segment_prompts(rgb, [corrected], mpp=MPP)
    assert iou(full(after), pair[0]) > iou(full(before), pair[0]) + 0.1


def test_a_box_alone_is_a_prompt_and_bounds_its_mask() -> None:
    ellipse = (60.0, 60.0, 10.0, 10.0)
    box = Box(50, 50, 62, 70)
    (answer,) = segment_prompts(tissue(ellipse), [Prompt(np.empty((0, 2)), (), box)], mpp=MPP)
    rows, cols = np.nonzero(full(answer))
    assert answer.mask.area_px > 100
    assert (cols.min(), cols.max()) == (50, 61)
    assert (rows.min(), rows.max()) == (50, 69)


def test_a_prompt_of_nothing_positive_is_refused() -> None:
    nothing = Prompt(np.array([[5.0, 5.0]]), (False,))
    with pytest.raises(InputError, match="neither a point on the nucleus nor a box"):
        list(segment_prompts(tissue(), [nothing], mpp=MPP))


@settings(max_examples=30)
@given(
    points=st.lists(st.tuples(st.floats(-10, 130), st.floats(-10, 130)), max_size=12),
    mpp=st.sampled_from([0.25, 0.5, 2.0, 10.0]),
)
def test_masks_answer_every_point_and_never_overlap(
    points: list[tuple[float, float]], mpp: float
) -> None:
    rgb = tissue((40, 40, 9, 7), (58, 40, 9, 9), (90, 90, 14, 6))
    masks = segment_points(rgb, np.array(points).reshape(-1, 2), mpp=mpp)
    assert len(masks) == len(points)
    assert all(0 <= m.score <= 1 for m in masks)
    total = sum((full(m).astype(int) for m in masks), np.zeros((120, 120), int))
    assert total.max(initial=0) <= 1
