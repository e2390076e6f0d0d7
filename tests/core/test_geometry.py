from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nunext.core.errors import CalibrationError, InputError
from napari_nunext.core.geometry import MPP_RANGE, Box, as_points_xy, check_mpp


def test_boxes_are_half_open_so_that_neighbours_share_no_point():
    points = np.array([[0.0, 0.0], [10.0, 5.0], [9.99, 9.99]])
    assert Box(0, 0, 10, 10).contains(points).tolist() == [True, False, True]
    assert Box(10, 0, 20, 10).contains(points).tolist() == [False, True, False]


def test_clipping_to_what_does_not_meet_is_empty():
    clipped = Box(0, 0, 5, 5).clipped_to(Box(10, 10, 20, 20))
    assert clipped.width == clipped.height == 0


def test_clipping_keeps_the_common_part():
    assert Box(-5, 2, 8, 30).clipped_to(Box(0, 0, 10, 10)) == Box(0, 2, 8, 10)


def test_an_inside_out_or_infinite_box_is_refused():
    with pytest.raises(InputError, match="inside out"):
        Box(5, 0, 1, 1)
    with pytest.raises(InputError, match="finite"):
        Box(0, 0, math.inf, 1)
    with pytest.raises(InputError, match="4 numbers"):
        Box.from_sequence([1, 2, 3])


def test_no_points_have_shape_0_2_whatever_they_came_in():
    for empty in ([], [[]], np.empty((0, 2)), np.empty((0, 7))):
        assert as_points_xy(empty).shape == (0, 2)


@pytest.mark.parametrize("mpp", [None, 0, -0.5, math.nan, math.inf, 100])
def test_a_scale_no_microscope_has_is_refused_with_what_to_do(mpp):
    with pytest.raises(CalibrationError, match=r"0\.5 .*0\.25"):
        check_mpp(mpp)


def test_a_plausible_scale_passes():
    assert check_mpp(0.2517) == 0.2517


@pytest.mark.parametrize("values", [[0, 0, 1], [0, 0, 1, 1, 1]])
def test_a_box_of_other_than_four_numbers_is_refused(values):
    with pytest.raises(InputError, match=f"got {len(values)}"):
        Box.from_sequence(values)


@pytest.mark.parametrize("shape", [(3, 3), (3, 1), (2, 2, 1), (2,)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="expected"):
        as_points_xy(np.zeros(shape))


@pytest.mark.parametrize("point", [(-0.1, 5), (5, -0.1), (10, 5), (5, 20), (11, 5), (5, 21)])
def test_what_lies_on_a_far_edge_or_beyond_is_outside(point):
    box = Box(0, 0, 10, 20)
    assert box.contains(np.array([(0.0, 0.0), point, (9.9, 19.9)])).tolist() == [True, False, True]


@pytest.mark.parametrize("mpp", MPP_RANGE)
def test_the_ends_of_the_range_of_scales_belong_to_it(mpp):
    assert check_mpp(mpp) == mpp


def test_a_box_covers_what_lies_in_it_edges_included():
    box = Box(10, 20, 30, 40)
    assert box.covers(box)
    assert box.covers(Box(10, 25, 12, 40))
    assert not box.covers(Box(10, 25, 31, 40))
    assert not box.covers(Box(50, 50, 60, 60))
