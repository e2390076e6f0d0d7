from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask, label_image
from napari_nunext.core.shapes.painting import (
    THINNEST_PX,
    filled,
    have_common_pixels,
    joined,
    largest_piece,
    line_through,
    middle_of,
    piece_with,
    segment_of_stroke,
    without,
)
from napari_nunext.store.exports.outlines import polygons_of

SIDE = 24
IMAGE = Box.of_image(SIDE, SIDE)
masks = st.builds(
    Mask.from_array,
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8)),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
places = st.tuples(st.floats(-8, SIDE + 8), st.floats(-8, SIDE + 8))


def pixels(mask: Mask) -> set[tuple[int, int]]:
    """Of a mask, as (x, y)."""
    return {(mask.x0_px + int(c), mask.y0_px + int(r)) for r, c in np.argwhere(mask.to_array())}


@given(places, places, st.floats(0.2, 9))
def test_a_stroke_holds_the_centres_that_lie_within_the_brush_on_its_way(start, end, radius):
    drawn = pixels(segment_of_stroke(start, end, radius, IMAGE))
    way = np.subtract(end, start)
    radius = max(radius, THINNEST_PX)
    for x in range(SIDE):
        for y in range(SIDE):
            beside = np.array([x + 0.5, y + 0.5]) - start
            part = np.clip(beside @ way / (way @ way), 0, 1) if way @ way else 0.0
            distance = np.hypot(*(beside - part * way))
            if abs(distance - radius) > 1e-9:
                assert ((x, y) in drawn) == (distance < radius)
    assert all(0 <= x < SIDE and 0 <= y < SIDE for x, y in drawn)


@given(st.lists(st.tuples(st.floats(2, SIDE - 2), st.floats(2, SIDE - 2)), min_size=1, max_size=6))
def test_the_thinnest_line_holds_together(corners):
    line = line_through(corners, IMAGE)
    assert line.area_px
    assert largest_piece(line) == line


@given(masks, masks)
def test_masks_are_joined_and_taken_away_as_sets_of_pixels_are(one, other):
    assert pixels(joined(one, other)) == pixels(one) | pixels(other)
    assert pixels(without(one, other)) == pixels(one) - pixels(other)
    assert have_common_pixels(one, other) == bool(pixels(one) & pixels(other))


@given(masks)
def test_pieces_are_the_outlines_that_an_export_would_have(mask):
    inside = pixels(mask)
    pieces = {frozenset(pixels(piece_with(mask, x + 0.5, y + 0.5))) for x, y in inside}
    assert len(pieces) == len(polygons_of(mask))
    assert set().union(*pieces) == inside
    if pieces:
        assert largest_piece(mask).area_px == max(map(len, pieces))


@given(masks)
def test_what_is_filled_has_no_hole_and_grows_by_holes_alone(mask):
    whole = filled(mask)
    assert pixels(mask) <= pixels(whole)
    assert all(len(rings) == 1 for rings in polygons_of(whole))
    outer = [ring for rings in polygons_of(mask) for ring in rings[:1]]
    assert len(polygons_of(whole)) <= len(outer)


@given(masks)
def test_the_middle_is_on_the_mask(mask):
    if mask.area_px:
        assert mask.covers(*middle_of(mask))


def test_the_middle_of_a_disc_is_its_centre_and_of_a_ring_a_place_on_it():
    disc = segment_of_stroke((10.5, 8.5), (10.5, 8.5), 4, IMAGE)
    assert middle_of(disc) == (10.5, 8.5)
    ring = without(disc, segment_of_stroke((10.5, 8.5), (10.5, 8.5), 2, IMAGE))
    assert ring.covers(*middle_of(ring))
    with pytest.raises(RecordError):
        middle_of(without(disc, disc))


def test_a_long_way_outside_the_image_costs_nothing():
    far = segment_of_stroke((-1e7, 5.0), (-2e7, 5.0), 3, IMAGE)
    assert far.area_px == 0
    across = segment_of_stroke((-1e6, 5.0), (1e6, 5.0), 1, IMAGE)
    assert label_image([across], SIDE, SIDE).sum() == 2 * SIDE
