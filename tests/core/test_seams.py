from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.geometry import Box
from napari_nunext.core.seams import SeamMerger, near_seams
from napari_nunext.core.tiling import plan_grid

RADIUS_PX = 6.0


def sightings(seed, *, crowded):
    """A grid, and what each of its windows reports of some nuclei: not where others see them."""
    rng = np.random.default_rng(seed)
    image = Box(0, 0, *rng.integers(40, 260, 2).tolist())
    grid = plan_grid(image, image, window_px=64, window_mpp=0.5, halo_um=4.0, image_mpp=0.5)
    truth = rng.uniform((0, 0), (image.x1, image.y1), (600 if crowded else 60, 2))
    told = []
    for window in grid:
        seen = truth + rng.uniform(-4, 4, truth.shape)
        seen = seen[window.speaks_for(RADIUS_PX / 2).contains(seen)]
        told.append((window.index, seen, rng.choice([0.2, 0.5, 0.7], len(seen)).tolist()))
    return grid, [told[i] for i in rng.permutation(len(told))]


def one_by_one(merger, told):
    """Follow a merger point by point; yields what it said and what stands by then."""
    standing: set[int] = set()
    for window_index, points, sure in told:
        for point, confidence in zip(points, sure, strict=True):
            change = merger.add(window_index, point[None], [confidence])
            standing = standing - set(change.hidden) | set(change.shown)
            yield change, standing
        change = merger.end(window_index)
        standing = standing - set(change.hidden) | set(change.shown)
        yield change, standing


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), crowded=st.booleans())
def test_what_is_settled_early_is_what_is_settled_in_the_end(seed, crowded):
    grid, told = sightings(seed, crowded=crowded)
    early, late = SeamMerger(RADIUS_PX, grid), SeamMerger(RADIUS_PX)
    settled: set[int] = set()
    for change, standing in one_by_one(early, told):
        assert not settled & set(change.settled)
        settled |= set(change.settled)
        assert settled <= standing
        assert not set(change.shown) & set(change.hidden)
    # Every window has ended: nothing is left to settle.
    assert early.settle() == type(change)()
    for window_index, points, sure in told:
        late.add(window_index, points, sure)
    late.settle()
    assert early.visible() == late.visible() == tuple(sorted(standing)) == tuple(sorted(settled))


def test_a_point_far_from_all_seams_is_settled_at_once_and_one_at_a_seam_with_its_neighbour():
    image = Box(0, 0, 110, 64)
    grid = plan_grid(image, image, window_px=64, window_mpp=0.5, halo_um=4.0, image_mpp=0.5)
    seam = grid[0].core.x1
    merger = SeamMerger(RADIUS_PX, grid)
    assert len(grid) == 2
    assert merger.add(0, np.array([[seam - 20, 30.0], [seam - 1, 30.0]]), [0.5, 0.5]).settled == (
        0,
    )
    assert merger.end(0).settled == ()
    assert merger.add(1, np.array([[seam + 1, 30.0]]), [0.9]).hidden == (1,)
    assert merger.end(1).settled == (2,)


def test_a_search_that_is_broken_off_settles_what_there_is():
    grid, told = sightings(3, crowded=True)
    merger, alone = SeamMerger(RADIUS_PX, grid), SeamMerger(RADIUS_PX)
    for _ in one_by_one(merger, told[: len(told) // 2]):
        pass
    for window_index, points, sure in told[: len(told) // 2]:
        alone.add(window_index, points, sure)
    merger.settle()
    alone.settle()
    assert merger.visible() == alone.visible()


@pytest.mark.parametrize("angle", range(0, 360, 15))
@pytest.mark.parametrize("centre", [(0.0, 0.0), (3.1, 5.9), (100.0, 47.0)])
def test_a_twin_is_found_in_every_direction(angle, centre):
    reach_px = 0.99 * RADIUS_PX
    apart = reach_px * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    merger = SeamMerger(RADIUS_PX)
    merger.add(0, np.array([centre]), [0.5])
    merger.add(1, centre + apart[None], [0.9])
    merger.settle()
    assert merger.visible() == (1,)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_near_a_seam_is_what_another_window_may_report_or_have_a_rival_of(seed):
    grid, told = sightings(seed, crowded=True)
    merger = SeamMerger(RADIUS_PX, grid)
    for window, points, _ in told:
        others = [other.speaks_for(RADIUS_PX / 2) for other in grid if other.index != window]
        rivalled = np.zeros(len(points), dtype=bool)
        for box in others:
            rivalled |= box.grown(RADIUS_PX - 1e-9).contains(points)
        near = near_seams(points, grid, RADIUS_PX)
        assert (near | ~rivalled).all()
        settled = merger.add(window, points[~near], [0.5] * int((~near).sum())).settled
        assert len(settled) == (~near).sum(), "what is not near is settled at once"
