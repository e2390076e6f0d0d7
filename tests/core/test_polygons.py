from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.shapes.polygons import centroid_of, mask_of_rings
from napari_nunext.store.exports.outlines import polygons_of

images = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
corners = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=7)


@given(images, st.integers(-20, 20), st.integers(-20, 20))
def test_the_outlines_of_a_mask_hold_its_pixels_and_no_others(image, x0, y0):
    mask = Mask.from_array(image, x0, y0)
    back = mask_of_rings([ring for rings in polygons_of(mask) for ring in rings])
    if mask.area_px:
        assert back == mask
    else:
        assert back.area_px == 0


@given(corners)
def test_a_pixel_belongs_if_a_ray_from_its_centre_crosses_the_ring_oddly(ring):
    mask = mask_of_rings([ring])
    inside = {(mask.x0_px + int(c), mask.y0_px + int(r)) for r, c in np.argwhere(mask.to_array())}
    for px in range(-10, 10):
        for py in range(-10, 10):
            x, y = px + 0.5, py + 0.5
            odd = False
            for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                if (y0 <= y) != (y1 <= y):
                    odd ^= x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
            assert ((px, py) in inside) == odd


def test_a_square_with_a_hole():
    outer = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
    hole = [(1, 1), (3, 1), (3, 3), (1, 3)]
    mask = mask_of_rings([outer, hole])
    assert (mask.x0_px, mask.y0_px, mask.area_px) == (0, 0, 12)


def test_what_holds_no_centre_is_empty_and_what_is_no_nucleus_is_refused():
    assert mask_of_rings([]).area_px == 0
    assert mask_of_rings([[(0.1, 0.1), (0.2, 0.1), (0.2, 0.2)]]).area_px == 0
    with pytest.raises(RecordError, match="spans 5000"):
        mask_of_rings([[(0, 0), (5000, 0), (0, 5)]])
    with pytest.raises(RecordError, match="finite"):
        mask_of_rings([[(0, 0), (float("nan"), 0), (0, 5)]])


@given(corners)
def test_overlaid_a_pixel_belongs_if_the_ring_runs_round_its_centre(ring):
    mask = mask_of_rings([ring], overlaid=True)
    inside = {(mask.x0_px + int(c), mask.y0_px + int(r)) for r, c in np.argwhere(mask.to_array())}
    for px in range(-10, 10):
        for py in range(-10, 10):
            x, y = px + 0.5, py + 0.5
            rounds = 0
            for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    rounds += 1 if y1 > y0 else -1
            assert ((px, py) in inside) == (rounds != 0)


def test_a_star_has_a_hole_in_its_middle_unless_it_is_overlaid():
    angles = np.arange(5) * 4 * np.pi / 5
    star = np.column_stack((np.cos(angles), np.sin(angles))) * 20
    assert not mask_of_rings([star]).covers(0.5, 0.5)
    assert mask_of_rings([star], overlaid=True).covers(0.5, 0.5)


@pytest.mark.parametrize("at", [(0.0, 0.0), (180_000.0, 70_000.0)])
@pytest.mark.parametrize("turn", [1, -1])
def test_the_centroid_counts_outer_rings_and_takes_holes_away(at, turn):
    x, y = at
    outer = [(x, y), (x + 12, y), (x + 12, y + 6), (x, y + 6)][::turn]
    hole = [(x + 1, y + 1), (x + 4, y + 1), (x + 4, y + 5), (x + 1, y + 5)]
    far = [(x + 20, y), (x + 22, y), (x + 22, y + 4)]
    # 72 about (6, 3), less 12 about (2.5, 3); and a triangle of 4 about (64 / 3, 4 / 3)
    area = 72 - 12 + 4
    expected_x = (72 * 6 - 12 * 2.5 + 4 * 64 / 3) / area
    expected_y = (72 * 3 - 12 * 3 + 4 * 4 / 3) / area
    assert centroid_of([[outer, hole], [far]]) == pytest.approx(
        (x + expected_x, y + expected_y, area), abs=1e-6, rel=0
    )


def test_the_centroid_of_a_line_is_the_mean_of_its_corners():
    assert centroid_of([[[(1.0, 2.0), (5.0, 2.0), (9.0, 2.0)]]]) == (5.0, 2.0, 0.0)
