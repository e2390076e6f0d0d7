from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.area import EVERYTHING, Area
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.tiling import WindowGrid, plan_grid
from tests.core.test_regions import star

IMAGE = Box(0, 0, 400, 300)


def grid(region_box: Box = IMAGE) -> WindowGrid:
    return plan_grid(region_box, IMAGE, window_px=64, window_mpp=0.5, halo_um=4.0, image_mpp=0.5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), searches=st.booleans(), leaves=st.booleans())
def test_no_window_with_anything_to_search_is_left_out_and_none_far_from_it_is_searched(
    seed, searches, leaves
):
    rng = np.random.default_rng(seed)
    polygons = [star(seed + i, int(rng.integers(3, 12))) - rng.uniform(0, 150, 2) for i in (0, 1)]
    area = Area(tuple(polygons[:1]) * searches, tuple(polygons[1:]) * leaves)
    windows = grid()
    beyond = windows.beyond(area)
    points = rng.uniform((0, 0), (400, 300), (4000, 2))
    searched = windows.holding(points[area.contains(points)])
    assert not beyond & set(searched.tolist())
    # Exactly, not by points: a thin end of a polygon may lie between all of them.
    wanted = shapely.union_all([shapely.Polygon(p) for p in area.within])
    wanted = wanted if searches else shapely.box(*IMAGE.as_tuple())
    for window in windows:
        near = window.core.grown(2 * window.core.width)
        core = shapely.box(*window.core.grown(window.core.width).as_tuple())
        far = not wanted.intersects(shapely.box(*near.as_tuple()))
        if far or any(shapely.Polygon(p).contains(core) for p in area.without):
            assert window.index in beyond


def test_without_polygons_everything_is_searched():
    assert grid().beyond(EVERYTHING) == frozenset()
    assert EVERYTHING.contains(np.array([(1.0, 2.0)])).all()
    assert grid(Box(0, 0, 0, 0)).beyond(Area((star(0),))) == frozenset()


def test_an_edge_from_far_beyond_the_image_costs_no_more_than_the_image_is_wide():
    far = np.array([(-2e9, 150.0), (2e9, 150.0), (2e9, 160.0), (-2e9, 160.0)])
    windows = grid()
    searched = [w for w in windows if w.index not in windows.beyond(Area((far,)))]
    assert 0 < len(searched) < len(windows)
    assert all(w.core.y0 <= 220 and w.core.y1 >= 90 for w in searched)


def test_a_box_is_covered_where_nothing_of_it_is_left_out():
    area = Area((rectangle(Box(0, 0, 100, 100)), star(0)), (rectangle(Box(20, 20, 30, 30)),))
    assert area.covers(Box(40, 40, 100, 100))
    assert area.covers(Box(0, 0, 20, 100))
    assert not area.covers(Box(40, 40, 101, 100))
    assert not area.covers(Box(0, 0, 21, 100))
    assert not area.covers(Box(22, 22, 24, 24))
    assert EVERYTHING.covers(Box(0, 0, 1, 1))
    round_hole = Area((), (star(0),))
    middle = round_hole.without[0].mean(axis=0).tolist()
    assert not round_hole.covers(Box(0, 0, 400, 300))
    assert not round_hole.covers(Box(middle[0], middle[1], middle[0] + 1, middle[1] + 1))
    assert round_hole.covers(Box(0, 0, 40, 40))


def test_regions_say_what_is_searched():
    boxes = (Box(0, 0, 10, 10), Box(5, 5, 8, 8), Box(50, 50, 60, 60))
    drawn = [
        region(kind, kind, rectangle(box), uid=uuid4())
        for kind, box in zip(("search", "leave_out", "interest"), boxes, strict=True)
    ]
    points = np.array([(2.0, 2.0), (6.0, 6.0), (55.0, 55.0)])
    here = Area.of(drawn, search_here=True)
    anywhere = Area.of(drawn, search_here=False)
    assert here.contains(points).tolist() == [True, False, False]
    assert anywhere.contains(points).tolist() == [True, False, True]
    assert (here.box, anywhere.box) == (boxes[0], None)


@pytest.mark.parametrize("area", [EVERYTHING, Area((star(1),)), Area((), (star(2), star(3)))])
def test_an_area_survives_json(area):
    back = Area.from_json(area.to_json())
    points = np.random.default_rng(0).uniform(0, 400, (200, 2))
    np.testing.assert_array_equal(back.contains(points), area.contains(points))
    assert back.is_everything == area.is_everything
