from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import (
    MOST_CORNERS,
    Region,
    area_px,
    box_around,
    clipped,
    inside,
    rectangle,
    region,
    signed_area_px,
    simplified,
    with_holes,
)

SQUARE = rectangle(Box(10, 20, 110, 70))


def star(seed: int, corners: int = 20) -> np.ndarray:
    """A polygon whose line does not cross itself."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(20, 100, corners)
    return np.stack((200 + radii * np.cos(angles), 150 + radii * np.sin(angles)), axis=1)


def test_a_rectangle_has_its_area_and_its_box():
    drawn = region("A", "interest", SQUARE, uid=uuid4())
    assert area_px(SQUARE) == pytest.approx(5000)
    assert drawn.area_um2(0.5) == pytest.approx(1250)
    assert drawn.box == Box(10, 20, 110, 70)


@given(seed=st.integers(0, 10_000))
def test_the_area_is_that_of_the_shoelace_where_a_line_does_not_cross_itself(seed):
    polygon = star(seed)
    assert area_px(polygon) == pytest.approx(abs(signed_area_px(polygon)), rel=1e-9)


def test_an_eight_has_the_area_of_both_its_rings():
    eight = np.array([(0, 0), (100, 100), (100, 0), (0, 100)], dtype=float)
    assert signed_area_px(eight) == 0
    assert area_px(eight) == pytest.approx(5000, rel=1e-3)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_points_lie_inside_as_another_library_says(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform((50, 0), (350, 300), (500, 2))
    polygon = rng.permutation(star(seed, 9)) if seed % 2 else star(seed)
    np.testing.assert_array_equal(inside(points, polygon), points_in_poly(points, polygon))


def test_regions_side_by_side_share_no_point_and_lose_none():
    left, right = rectangle(Box(0, 0, 10, 10)), rectangle(Box(10, 0, 20, 10))
    grid = np.stack(np.meshgrid(np.arange(0, 20.0), np.arange(0, 10.0)), axis=-1).reshape(-1, 2)
    assert (inside(grid, left) ^ inside(grid, right)).all()


def test_a_hole_is_no_part_of_a_region():
    hole = rectangle(Box(40, 30, 60, 50))
    polygon = with_holes(SQUARE, [hole, hole + np.array((30, 0))])
    assert area_px(polygon) == pytest.approx(5000 - 2 * 400)
    points = np.array([(50.0, 40.0), (80.0, 40.0), (20.0, 30.0), (105.0, 65.0), (5.0, 5.0)])
    assert inside(points, polygon).tolist() == [False, False, True, True, False]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_what_lies_in_a_box_is_cut_out(seed):
    rng = np.random.default_rng(seed)
    box = Box(*rng.uniform(100, 190, 2), *rng.uniform(210, 260, 2))
    polygon = star(seed, 12)
    points = rng.uniform((50, 0), (350, 300), (500, 2))
    np.testing.assert_array_equal(
        inside(points, clipped(polygon, box)), inside(points, polygon) & box.contains(points)
    )
    assert len(clipped(polygon, Box(1000, 1000, 1100, 1100))) == 0


@given(seed=st.integers(0, 10_000), tolerance=st.floats(0.1, 10))
def test_a_simpler_line_stays_near_every_corner(seed, tolerance):
    rough = star(seed, 60)
    simple = simplified(rough, tolerance)
    assert 2 <= len(simple) <= len(rough)
    ends = np.roll(simple, -1, axis=0)
    for corner in rough:
        along = ends - simple
        part = np.clip(
            ((corner - simple) * along).sum(1) / np.maximum((along**2).sum(1), 1e-12), 0, 1
        )
        assert np.hypot(*(simple + part[:, None] * along - corner).T).min() <= tolerance + 1e-9


def test_a_region_survives_json():
    drawn = region("Überblick", "leave_out", star(3), uid=uuid4())
    assert Region.from_json(drawn.to_json()) == drawn
    assert box_around([drawn.polygon_xy]) == drawn.box


@pytest.mark.parametrize(
    ("name", "kind", "polygon"),
    [
        ("", "search", SQUARE),
        ("A", "burn", SQUARE),
        ("A", "search", SQUARE[:2]),
        ("A", "search", np.array([(0, 0), (5, 5), (10, 10)], dtype=float)),
        ("A", "search", SQUARE * 1e9),
        ("A", "search", star(0, MOST_CORNERS + 50)),
    ],
)
def test_what_is_no_region_is_refused(name, kind, polygon):
    with pytest.raises(RecordError, match="region"):
        region(name, kind, polygon, uid=uuid4())
