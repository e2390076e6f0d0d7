from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import Box
from napari_nunext.core.seams import SeamMerger
from napari_nunext.core.tiling import plan_grid, plan_windows

sizes = st.floats(1, 900)
mpps = st.sampled_from([0.25, 0.3, 0.4962, 0.5, 1.0])


@st.composite
def plans(draw: st.DrawFn):
    image = Box(0, 0, draw(st.integers(1, 900)), draw(st.integers(1, 900)))
    x0, y0 = draw(st.floats(0, image.x1 - 1)), draw(st.floats(0, image.y1 - 1))
    region = Box(x0, y0, draw(st.floats(x0 + 0.5, image.x1)), draw(st.floats(y0 + 0.5, image.y1)))
    window_px = draw(st.integers(48, 256))
    window_mpp, image_mpp = draw(mpps), draw(mpps)
    halo_um = draw(st.floats(0, window_px * window_mpp / 4))
    windows = plan_windows(
        region,
        image,
        window_px=window_px,
        window_mpp=window_mpp,
        halo_um=halo_um,
        image_mpp=image_mpp,
    )
    return region, image, windows, halo_um / image_mpp


@given(plans())
def test_cores_partition_the_region(plan):
    region, _, windows, _ = plan
    rng = np.random.default_rng(0)
    points = rng.uniform((region.x0, region.y0), (region.x1, region.y1), (200, 2))
    points = points[region.contains(points)]
    owners = sum(w.core.contains(points).astype(int) for w in windows)
    assert np.all(owners == 1)
    area = sum(w.core.width * w.core.height for w in windows)
    assert area == pytest.approx(region.width * region.height, rel=1e-9, abs=1e-6)


@given(plans())
def test_the_grid_finds_the_window_that_holds_a_point(plan):
    region, image, windows, halo_px = plan
    window = windows[0]
    grid = plan_grid(
        region,
        image,
        window_px=window.side_px,
        window_mpp=1.0,
        halo_um=halo_px * window.side_px / window.box.width,
        image_mpp=window.side_px / window.box.width,
    )
    points = np.random.default_rng(0).uniform(
        (region.x0, region.y0), (region.x1, region.y1), (50, 2)
    )
    points = points[region.contains(points)]
    holding = grid.holding(points)
    for point, index in zip(points, holding, strict=True):
        assert grid[int(index)].core.contains(point[None]).all()
    assert grid[-1] == grid[len(grid) - 1] == grid[:][-1]
    with pytest.raises(IndexError):
        grid[len(grid)]


def test_a_grid_over_a_slide_costs_nothing_until_it_is_asked():
    slide = Box(0, 0, 200_000, 150_000)
    grid = plan_grid(slide, slide, window_px=64, window_mpp=0.5, halo_um=4, image_mpp=0.25)
    assert len(grid) > 2_000_000
    (index,) = grid.holding(np.array([[123_456.5, 99_999.5]]))
    assert grid[int(index)].core.contains(np.array([[123_456.5, 99_999.5]])).all()


@given(plans(), st.tuples(st.floats(-50, 950), st.floats(-50, 950)), st.floats(0, 200))
def test_the_grid_finds_the_windows_whose_cores_touch_a_box(plan, at, side):
    region, image, windows, halo_px = plan
    side_px, scale = windows[0].side_px, windows[0].scale
    grid = plan_grid(
        region,
        image,
        window_px=side_px,
        window_mpp=1.0,
        halo_um=halo_px / scale,
        image_mpp=1 / scale,
    )
    box = Box(*at, at[0] + side, at[1] + side)
    touched = set(grid.touching(box))
    for window in grid:
        core = window.core
        meets = max(core.x0, box.x0) <= min(core.x1, box.x1) and (
            max(core.y0, box.y0) <= min(core.y1, box.y1)
        )
        assert not meets or window.index in touched
    if box.clipped_to(region) == box:
        assert len(touched) == sum(
            max(w.core.x0, box.x0) <= min(w.core.x1, box.x1)
            and max(w.core.y0, box.y0) <= min(w.core.y1, box.y1)
            for w in grid
        )


def test_the_nearest_windows_of_a_slide_come_at_once_and_in_order():
    slide = Box(0, 0, 200_000, 150_000)
    grid = plan_grid(slide, slide, window_px=64, window_mpp=0.5, halo_um=4, image_mpp=0.25)
    near = (123_456.0, 99_999.0)
    order = grid.nearest_first(near)
    assert len(order) == len(grid)
    first = order[:2000]
    middles = np.array([((w.core.x0 + w.core.x1) / 2, (w.core.y0 + w.core.y1) / 2) for w in first])
    away = np.hypot(*(middles - near).T)
    assert (np.diff(away) >= 0).all()
    assert first[0].core.contains(np.array([near])).all()
    # As many as a disc of that radius holds: none was passed over.
    assert len(first) == pytest.approx(np.pi * away[-1] ** 2 / first[0].core.width ** 2, rel=0.05)
    assert order[1234] == first[1234]


def test_every_window_comes_once_wherever_one_begins():
    image = Box(0, 0, 500, 300)
    grid = plan_grid(image, image, window_px=64, window_mpp=0.5, halo_um=4, image_mpp=0.5)
    for near in [(0.0, 0.0), (250.0, 150.0), (9000.0, -5.0)]:
        assert sorted(w.index for w in grid.nearest_first(near)) == list(range(len(grid)))


@given(plans())
def test_every_core_keeps_its_halo_unless_the_image_ends_there(plan):
    _, image, windows, halo_px = plan
    for window in windows:
        core, box = window.core, window.box
        assert core.x0 - box.x0 >= min(halo_px, core.x0 - image.x0) - 1e-6
        assert core.y0 - box.y0 >= min(halo_px, core.y0 - image.y0) - 1e-6
        assert box.x1 - core.x1 >= min(halo_px, image.x1 - core.x1) - 1e-6
        assert box.y1 - core.y1 >= min(halo_px, image.y1 - core.y1) - 1e-6


@pytest.mark.parametrize(("start", "windows"), [(218.0, 1), (217.9, 2)])
def test_a_region_nearly_as_large_as_a_window_is_covered_to_its_end(start: float, windows: int):
    # The window is 44.17 px: a whole-pixel start holds 218-262, but none holds 217.9-262.
    region = Box(0, start, 1, 262)
    plan = plan_windows(
        region, Box(0, 0, 1, 262), window_px=53, window_mpp=0.25, halo_um=0, image_mpp=0.3
    )
    assert len(plan) == windows
    for window in plan:
        assert window.box.y0 <= window.core.y0
        assert window.box.y1 >= window.core.y1 - 1e-9


@given(plans())
def test_windows_start_at_whole_pixels_and_have_one_size(plan):
    _, _, windows, _ = plan
    for window in windows:
        assert window.box.x0 == int(window.box.x0)
        assert window.box.y0 == int(window.box.y0)
        assert window.box.width == pytest.approx(windows[0].box.width)
        assert window.box.width == pytest.approx(window.box.height)


@given(plans())
def test_window_coordinates_round_trip(plan):
    _, _, windows, _ = plan
    points = np.array([[0.5, 0.5], [17.25, 3.0]])
    for window in windows:
        assert np.allclose(window.from_level0(window.to_level0(points)), points)


def test_a_small_image_is_one_window_padded_at_right_and_bottom():
    image = Box(0, 0, 40, 30)
    (window,) = plan_windows(image, image, window_px=64, window_mpp=0.5, halo_um=4, image_mpp=0.5)
    assert window.box == Box(0, 0, 64, 64)
    assert window.core == image


def test_a_small_region_takes_the_image_around_it_as_context():
    (window,) = plan_windows(
        Box(100, 100, 110, 110),
        Box(0, 0, 500, 500),
        window_px=64,
        window_mpp=0.5,
        halo_um=4,
        image_mpp=0.5,
    )
    assert window.box == Box(73, 73, 137, 137)


def test_an_empty_region_has_no_window():
    image = Box(0, 0, 50, 50)
    assert not plan_windows(
        Box(60, 0, 70, 10), image, window_px=64, window_mpp=0.5, halo_um=4, image_mpp=0.5
    )


def test_a_halo_that_leaves_no_core_is_refused():
    image = Box(0, 0, 50, 50)
    with pytest.raises(CalibrationError, match="halo"):
        plan_windows(image, image, window_px=64, window_mpp=0.5, halo_um=16, image_mpp=0.5)


# Seams


def detect_with_oracle(true_xy, offset_xy, jitter_px, seed, *, image_mpp=0.5):
    """Every window reports the nuclei it sees, each a little displaced: what a good model does."""
    rng = np.random.default_rng(seed)
    image = Box(0, 0, 400, 300)
    windows = plan_windows(
        image, image, window_px=96, window_mpp=0.5, halo_um=8, image_mpp=image_mpp
    )
    merger = SeamMerger(radius_px=4.0)
    shown_xy = true_xy + offset_xy
    seen = []
    for k in rng.permutation(len(windows)):
        window = windows[k]
        inside = window.box.contains(shown_xy)
        points = shown_xy[inside] + rng.uniform(-jitter_px, jitter_px, (inside.sum(), 2))
        points = points[window.speaks_for(2.0).contains(points)]
        merger.add(window.index, points, rng.uniform(0.2, 0.9, len(points)).tolist())
        seen.append(points)
    merger.settle()
    everything = np.concatenate(seen) if seen else np.empty((0, 2))
    return everything[list(merger.visible())] - offset_xy


@settings(max_examples=40, deadline=None)
@given(
    offset=st.tuples(st.floats(0, 60), st.floats(0, 60)),
    seed=st.integers(0, 1000),
    image_mpp=st.sampled_from([0.5, 0.37, 1.0]),
)
def test_the_result_does_not_depend_on_where_the_grid_lies(offset, seed, image_mpp):
    grid = np.stack(np.meshgrid(np.arange(5, 330, 9.0), np.arange(5, 230, 9.0)), -1)
    true_xy = grid.reshape(-1, 2)
    found = detect_with_oracle(true_xy, np.array(offset), 1.3, seed, image_mpp=image_mpp)
    assert len(found) == len(true_xy)
    distance = np.linalg.norm(found[:, None] - true_xy[None], axis=-1)
    assert np.all(distance.min(axis=0) < 2)
    assert len(set(distance.argmin(axis=1).tolist())) == len(true_xy)


SPEC_OF_SEAMS = {"window_px": 64, "window_mpp": 0.5, "halo_um": 4.0, "image_mpp": 0.5}


def test_a_surer_sighting_replaces_the_one_before_it():
    merger = SeamMerger(radius_px=4)
    assert merger.add(0, np.array([[10.0, 10.0]]), [0.4]).shown == (0,)
    change = merger.add(1, np.array([[12.0, 10.0]]), [0.8])
    assert (change.shown, change.hidden) == ((1,), (0,))
    assert merger.visible() == (1,)


def test_a_less_sure_sighting_is_not_shown():
    merger = SeamMerger(radius_px=4)
    merger.add(0, np.array([[10.0, 10.0]]), [0.8])
    change = merger.add(1, np.array([[12.0, 10.0]]), [0.4])
    assert (change.shown, change.hidden) == ((), ())


def test_close_points_of_one_window_both_stand():
    merger = SeamMerger(radius_px=4)
    merger.add(0, np.array([[10.0, 10.0], [11.0, 10.0]]), [0.8, 0.3])
    merger.settle()
    assert merger.visible() == (0, 1)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_sightings_the_surer_one_stands_once_all_is_settled(order):
    merger = SeamMerger(radius_px=4)
    for window in order:
        merger.add(window, np.array([[10.0 + window, 10.0]]), [(0.4, 0.8)[window]])
    merger.settle()
    (stands,) = merger.visible()
    assert order[stands] == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_equally_sure_sightings_the_earlier_windows_stands(order):
    merger = SeamMerger(radius_px=4)
    first, second = (
        merger.add(window, np.array([[10.0 + window, 10.0]]), [0.6]) for window in order
    )
    assert (first.shown, second.shown, second.hidden) == ((0,), (), ())  # nothing flickers
    merger.settle()
    (stands,) = merger.visible()
    assert order[stands] == 0


def test_a_point_on_a_seam_is_the_window_whose_core_holds_it():
    grid = plan_grid(Box(0, 0, 150, 130), Box(0, 0, 150, 130), **SPEC_OF_SEAMS)
    corners = np.array([(w.core.x0, w.core.y0) for w in grid])
    assert len(grid) > 3
    for window, corner_xy in zip(grid, corners, strict=True):
        assert window.core.contains(corner_xy[None]).all()
        assert grid.holding(corner_xy[None]).tolist() == [window.index]


def test_a_window_speaks_for_a_margin_around_its_core_but_not_beyond_itself():
    first, second, *_ = plan_grid(Box(0, 0, 150, 130), Box(0, 0, 150, 130), **SPEC_OF_SEAMS)
    assert first.speaks_for(3.0).as_tuple() == (0, 0, first.core.x1 + 3, first.core.y1 + 3)
    assert second.speaks_for(3.0).x0 == second.core.x0 - 3
    assert first.speaks_for(1000.0) == first.box


def test_a_point_comes_back_when_its_rival_loses_to_a_third():
    merger = SeamMerger(radius_px=4)
    merger.add(0, np.array([[0.0, 0.0]]), [0.5])
    merger.add(1, np.array([[3.0, 0.0]]), [0.7])
    change = merger.add(2, np.array([[6.0, 0.0]]), [0.9])
    assert (change.shown, change.hidden) == ((2,), (1,))
    assert merger.settle().shown == (0,)
    assert merger.visible() == (0, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_settled_result_does_not_depend_on_the_order_of_windows(seed, n_windows):
    rng = np.random.default_rng(seed)
    batches = [
        (w, rng.uniform(0, 20, (6, 2)), rng.choice([0.3, 0.5, 0.7], 6)) for w in range(n_windows)
    ]
    results = []
    for order in (rng.permutation(n_windows), rng.permutation(n_windows)):
        merger = SeamMerger(radius_px=4)
        points = []
        for k in order:
            merger.add(batches[k][0], batches[k][1], batches[k][2].tolist())
            points.append(batches[k][1])
        merger.settle()
        everything = np.concatenate(points)
        results.append({tuple(p) for p in everything[list(merger.visible())].tolist()})
    assert results[0] == results[1]


def test_a_stream_and_its_settlement_add_up_to_what_is_visible():
    rng = np.random.default_rng(3)
    merger = SeamMerger(radius_px=5)
    visible: set[int] = set()
    for window in range(8):
        change = merger.add(window, rng.uniform(0, 40, (20, 2)), rng.random(20).tolist())
        visible |= set(change.shown)
        visible -= set(change.hidden)
    change = merger.settle()
    visible |= set(change.shown)
    visible -= set(change.hidden)
    assert tuple(sorted(visible)) == merger.visible()
