from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.geometry import Box
from nunext_training.data.crops import Crop, random_crop

WINDOW_PX = 16


@given(
    column=st.integers(0, WINDOW_PX - 1),
    row=st.integers(0, WINDOW_PX - 1),
    mirrored=st.booleans(),
    quarter_turns=st.integers(0, 3),
)
def test_a_pixel_and_the_point_at_its_centre_go_to_the_same_place(
    column, row, mirrored, quarter_turns
):
    crop = Crop(Box(100, 200, 100 + WINDOW_PX, 200 + WINDOW_PX), WINDOW_PX, mirrored, quarter_turns)
    window = np.zeros((WINDOW_PX, WINDOW_PX, 3), dtype=np.uint8)
    window[row, column] = 255
    turned = crop.turn_pixels(window)
    point = crop.to_window(np.array([[100 + column + 0.5, 200 + row + 0.5]]))
    (turned_row,), (turned_column,) = np.nonzero(turned[..., 0])
    np.testing.assert_allclose(point, [[turned_column + 0.5, turned_row + 0.5]])


def test_mirroring_and_turning_give_eight_different_windows():
    window = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    seen = {
        Crop(Box(0, 0, 4, 4), 4, mirrored, turns).turn_pixels(window).tobytes()
        for mirrored in (False, True)
        for turns in range(4)
    }
    assert len(seen) == 8


@given(
    x=st.floats(0, 1, exclude_max=True),
    y=st.floats(0, 1, exclude_max=True),
    side=st.floats(4, 90),
    mirrored=st.booleans(),
    quarter_turns=st.integers(0, 3),
)
def test_points_inside_the_box_stay_inside_the_window(x, y, side, mirrored, quarter_turns):
    crop = Crop(Box(7.25, 3.5, 7.25 + side, 3.5 + side), WINDOW_PX, mirrored, quarter_turns)
    points = crop.to_window(np.array([[7.25 + x * side, 3.5 + y * side]]))
    assert (points >= -1e-9).all()
    assert (points <= WINDOW_PX + 1e-9).all()


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(64, 300), height=st.integers(64, 300))
def test_random_crops_lie_inside_an_image_that_is_large_enough(seed, width, height):
    crop = random_crop(
        np.random.default_rng(seed),
        image=Box.of_image(width, height),
        side_px=50.0,
        window_px=WINDOW_PX,
        scale_range=(0.8, 1.25),
    )
    assert crop.box.x0 >= 0
    assert crop.box.y0 >= 0
    assert crop.box.x1 <= width + 1e-9
    assert crop.box.y1 <= height + 1e-9
    assert 40 - 1e-9 <= crop.box.width <= 62.5 + 1e-9


@given(seed=st.integers(0, 2**32 - 1))
def test_a_small_image_lies_at_the_corner_of_its_window_as_when_it_is_detected(seed):
    crop = random_crop(
        np.random.default_rng(seed),
        image=Box.of_image(30, 200),
        side_px=50.0,
        window_px=50,
        turn=False,
    )
    assert (crop.box.x0, crop.box.width) == (0.0, 50.0)
    assert not crop.mirrored
    assert crop.quarter_turns == 0


def test_crops_start_at_whole_pixels(rng):
    for _ in range(20):
        crop = random_crop(
            rng, image=Box.of_image(99, 77), side_px=16.0, window_px=16, scale_range=(0.8, 1.25)
        )
        assert crop.box.x0 == int(crop.box.x0)
        assert crop.box.y0 == int(crop.box.y0)


def test_every_position_and_every_turn_is_drawn(rng):
    crops = [
        random_crop(rng, image=Box.of_image(18, 18), side_px=16.0, window_px=16) for _ in range(600)
    ]
    starts = {(c.box.x0, c.box.y0) for c in crops}
    assert starts == {(x, y) for x in range(3) for y in range(3)}
    assert {(c.mirrored, c.quarter_turns) for c in crops} == {
        (m, q) for m in (False, True) for q in range(4)
    }


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaling_moves_points_with_the_pixels(scale):
    crop = Crop(Box(0, 0, 16 * scale, 16 * scale), 16)
    np.testing.assert_allclose(crop.to_window(np.array([[4.0, 8.0]])), [[4 / scale, 8 / scale]])
