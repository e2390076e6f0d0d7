"""Token budgets, and places in the picture that was sent brought back to the slide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.boxes import CONVENTIONS, MOST_BOXES, boxes_of
from napari_nunext.core.answers.budget import SentPicture, image_tokens, resized_sides
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box

sides = st.floats(1, 50_000)
budgets = st.integers(1, 1024)
PATCH = 28
SENT = SentPicture(Box(1000, 2000, 2000, 2500), width_px=280, height_px=140)


@given(sides, sides, budgets)
def test_eq_4_to_6_sides_are_whole_patches_within_the_budget(height, width, budget):
    rows, columns = resized_sides(height, width, budget)
    assert rows % PATCH == columns % PATCH == 0
    assert 1 <= image_tokens(rows, columns) <= budget
    # Never enlarged by more than the rounding to whole patches.
    assert rows <= max(PATCH, height + PATCH / 2)
    assert columns <= max(PATCH, width + PATCH / 2)


@given(st.integers(1, 16), st.integers(1, 16))
def test_eq_5_what_is_within_the_budget_stays_as_it_is(rows, columns):
    assert resized_sides(rows * PATCH, columns * PATCH, 256) == (rows * PATCH, columns * PATCH)


@given(st.floats(60, 4000), st.floats(60, 4000), st.integers(64, 1024))
def test_eq_6_each_side_is_the_nearest_number_of_patches_or_the_one_below(height, width, budget):
    if max(height, width) / min(height, width) > 4:
        return
    scale = min(1.0, np.sqrt(budget * PATCH**2 / (height * width)))
    for side, exact in zip(resized_sides(height, width, budget), (height, width), strict=True):
        assert abs(side / PATCH - exact * scale / PATCH) < 1 + 1e-9


@pytest.mark.parametrize(
    ("height", "width", "budget", "sent"),
    [(490, 490, 256, (448, 448)), (30, 20, 256, (28, 28)), (28, 9000, 256, (28, 7168))],
)
def test_some_pictures(height, width, budget, sent):
    assert resized_sides(height, width, budget) == sent


@pytest.mark.parametrize(
    "wrong", [(0, 10, 16), (10, float("nan"), 16), (10, 10, 0), (10, 10, 10**6)]
)
def test_no_picture_and_no_budget_are_refused(wrong):
    with pytest.raises(InputError, match=r"cannot be sent|expected 1 to"):
        resized_sides(*wrong)


@given(sides, sides, budgets, st.integers(0, 2**32 - 1))
def test_points_go_to_the_slide_and_back_by_each_sides_own_ratio(height, width, budget, seed):
    sent = SentPicture.of(Box(7, 9, 7 + width, 9 + height), budget)
    points = np.random.default_rng(seed).uniform(0, (sent.width_px, sent.height_px), (5, 2))
    np.testing.assert_allclose(sent.from_level0(sent.to_level0(points)), points, atol=1e-6)
    corner = sent.to_level0(np.array([[sent.width_px, sent.height_px]], dtype=float))
    np.testing.assert_allclose(corner, [[7 + width, 9 + height]])


@pytest.mark.parametrize(
    ("convention", "said"),
    [
        ("pixels", "[[28, 14, 140, 70]]"),
        ("thousand", '[{"bbox_2d": [100, 100, 500, 500], "label": "tumour"}]'),
        ("thousand_y_first", "(100, 100, 500, 500)"),
        ("unit", "[0.1, 0.1, 0.5, 0.5]"),
    ],
)
def test_each_convention_leads_to_the_same_place(convention, said):
    (found,) = boxes_of(said, SENT, convention).boxes
    assert found.box.as_tuple() == pytest.approx((1100, 2050, 1500, 2250))
    assert found.label == ("tumour" if "label" in said else "")


def test_y_first_is_y_first():
    (found,) = boxes_of("[0, 100, 500, 200]", SENT, "thousand_y_first").boxes
    assert found.box.as_tuple() == pytest.approx((1100, 2000, 1200, 2250))


def test_labels_belong_to_their_own_box():
    said = '[{"label": "a \\"b\\"", "box_2d": [0,0,9,9]}, {"box_2d": [9,9,20,20]}] [1,1,2,2]'
    assert [found.label for found in boxes_of(said, SENT).boxes] == ['a "b"', "", ""]


def test_reversed_corners_are_turned_and_edges_cut():
    said = "[140, 70, 28, 14] [-100, -5, 28, 14] [200, 100, 9999, 9999]"
    boxes = [found.box.as_tuple() for found in boxes_of(said, SENT).boxes]
    assert boxes[0] == pytest.approx((1100, 2050, 1500, 2250))
    assert boxes[1] == pytest.approx((1000, 2000, 1100, 2050))
    assert boxes[2][2:] == pytest.approx((2000, 2500))


def test_what_is_no_box_is_left_out_and_counted():
    said = (
        "[a, b, c, d] [nan, 0, 1, 1] [1e999, 0, 1, 1] [-9, -9, -1, -1] [300, 0, 400, 9] [5,5,5,9]"
    )
    read = boxes_of(said, SENT)
    assert read.boxes == ()
    assert read.left_out == {"not numbers": 3, "outside": 2, "no area": 1}


def test_of_a_thousand_boxes_the_first_are_kept():
    read = boxes_of("[0, 0, 9, 9]," * 1000, SENT)
    assert len(read.boxes) == MOST_BOXES
    assert read.left_out == {"too many": 900}


@given(
    st.text(alphabet='[](){},.-0123456789 e"label:', max_size=80), st.sampled_from([*CONVENTIONS])
)
def test_whatever_is_written_every_box_lies_in_the_region(text, convention):
    for found in boxes_of(text, SENT, convention).boxes:
        assert found.box.clipped_to(SENT.region) == found.box
        assert found.box.width > 0
        assert found.box.height > 0
