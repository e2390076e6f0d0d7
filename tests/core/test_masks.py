from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask, in_common_crop, label_image, masks_of

images = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@given(images, st.integers(-20, 20), st.integers(-20, 20))
def test_a_mask_returns_where_it_was(image, x0, y0):
    mask = Mask.from_array(image, x0, y0)
    canvas = np.zeros((80, 80), dtype=bool)
    crop = mask.to_array()
    top, left = mask.y0_px + 30, mask.x0_px + 30
    canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    expected = np.zeros((80, 80), dtype=bool)
    expected[y0 + 30 : y0 + 30 + image.shape[0], x0 + 30 : x0 + 30 + image.shape[1]] = image
    assert np.array_equal(canvas, expected)
    assert mask.area_px == image.sum()


@given(images)
def test_json_round_trip(image):
    mask = Mask.from_array(image, 3, -4)
    assert Mask.from_json(json.loads(json.dumps(mask.to_json()))) == mask


def test_runs_are_column_major_and_start_with_zeros_as_coco_s():
    image = np.array([[True, False], [True, True]])
    assert Mask.from_array(image).counts == (0, 2, 1, 1)


@pytest.mark.parametrize(
    "data",
    [
        {"offset": [0, 0], "size": [2, 2], "counts": [1]},
        {"offset": [0, 0], "size": [2, 2], "counts": [5, -1]},
        {"offset": [0], "size": [2, 2], "counts": [4]},
        {"size": [2, 2], "counts": [4]},
        {"offset": [0, 0], "size": [2, 2], "counts": "four"},
    ],
)
def test_a_malformed_mask_is_refused(data):
    with pytest.raises(RecordError):
        Mask.from_json(data)


def test_a_label_image_paints_later_masks_last_and_cuts_at_the_edge():
    first = Mask.from_array(np.ones((2, 2), dtype=bool), -1, 0)
    second = Mask.from_array(np.ones((1, 2), dtype=bool), 0, 1)
    away = Mask.from_array(np.ones((2, 2), dtype=bool), 50, 50)
    assert label_image([first, second, away], 2, 3).tolist() == [[1, 0, 0], [2, 2, 0]]


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 5)))
def test_every_label_is_a_mask_with_the_centroid_of_its_pixels(labels):
    masks = masks_of(labels)
    assert list(masks) == [int(v) for v in np.unique(labels) if v]
    painted = label_image(list(masks.values()), *labels.shape)
    renumbered = np.zeros_like(labels)
    for number, label in enumerate(masks, start=1):
        renumbered[labels == label] = number
        y, x = np.nonzero(labels == label)
        assert masks[label].centroid_xy == pytest.approx((x.mean() + 0.5, y.mean() + 0.5))
    assert np.array_equal(painted, renumbered)


def test_a_label_image_of_fractions_or_below_zero_is_refused():
    with pytest.raises(RecordError, match="float64"):
        masks_of(np.zeros((2, 2)))
    with pytest.raises(RecordError, match="-1"):
        masks_of(np.array([[0, -1]]))
    with pytest.raises(RecordError, match="empty"):
        _ = Mask(0, 0, 0, 0, ()).centroid_xy


@given(images, st.integers(-6, 6), st.integers(-6, 6))
def test_clipping_keeps_what_is_inside(image, x0, y0):
    mask = Mask.from_array(image, x0, y0)
    clipped = mask.clipped_to(5, 4)
    assert np.array_equal(label_image([clipped], 4, 5), label_image([mask], 4, 5))
    assert clipped.area_px == np.count_nonzero(label_image([mask], 4, 5))


def test_a_correction_changes_the_piece_that_was_clicked_on_alone() -> None:
    outline = Mask.from_array(np.ones((6, 6), dtype=bool), 10, 10)
    wider = Mask.from_array(np.ones((2, 10), dtype=bool), 8, 12)  # beyond it on both sides
    grown = outline.corrected_by(wider, 17.2, 13.9, inside=True)
    assert grown.area_px == 36 + 4
    assert grown.covers(17.5, 12.5)
    assert not grown.covers(8.5, 12.5)
    shrunk = outline.corrected_by(wider, 11.0, 10.0, inside=False)
    assert shrunk.area_px == 36 - 12  # above the bar; what it leaves out below stays
    assert shrunk.covers(11.5, 15.5)
    assert not shrunk.covers(11.5, 10.5)


@pytest.mark.parametrize(
    ("x_px", "y_px", "inside"),
    [(30.0, 30.0, True), (12.0, 10.0, True), (12.0, 13.0, False), (30.0, 30.0, False)],
)
def test_an_answer_that_does_not_follow_the_click_changes_nothing(x_px, y_px, inside) -> None:
    outline = Mask.from_array(np.ones((6, 6), dtype=bool), 10, 10)
    wider = Mask.from_array(np.ones((2, 10), dtype=bool), 8, 12)
    assert outline.corrected_by(wider, x_px, y_px, inside=inside) == outline
    nothing = Mask.from_array(np.zeros((2, 2), dtype=bool), 3, 3)
    assert outline.corrected_by(nothing, 12.0, 13.0, inside=True) == outline


def test_two_masks_share_the_smallest_crop_that_holds_them() -> None:
    left = Mask.from_array(np.ones((2, 3), dtype=bool), 10, 20)
    right = Mask.from_array(np.ones((4, 1), dtype=bool), 14, 19)
    one, other, corner_xy = in_common_crop(left, right)
    assert corner_xy == (10, 19)
    assert one.shape == other.shape == (4, 5)
    np.testing.assert_array_equal(np.argwhere(other)[:, 1], [4, 4, 4, 4])
    nothing = Mask(0, 0, 0, 0, ())
    one, other, corner_xy = in_common_crop(nothing, left)
    assert (corner_xy, one.any(), bool(other.all())) == ((10, 20), False, True)
    assert in_common_crop(nothing, nothing)[0].shape == (0, 0)
    assert nothing.corrected_by(nothing, 3.0, 4.0, inside=True) == nothing


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_image_without_a_pixel_is_no_label_image(shape) -> None:
    with pytest.raises(RecordError, match=r"expected whole numbers of shape"):
        masks_of(np.zeros(shape, dtype=np.int32))


def test_a_mask_lies_at_the_origin_unless_it_is_said_otherwise() -> None:
    mask = Mask.from_array(np.ones((2, 3), dtype=bool))
    assert (mask.x0_px, mask.y0_px) == (0, 0)
