from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_nunext.core.errors import InputError
from napari_nunext.core.scores.matching import HUNGARIAN_LIMIT, match_points

# Whole coordinates, so that distances equal to the radius occur and ties abound.
coordinate = st.integers(0, 6)
point_sets = st.lists(st.tuples(coordinate, coordinate), max_size=5)


def brute_force(pred, true, radius_px: float, gated: bool):
    """Best (number of matches within the radius, total distance) over all assignments."""
    small, large = (pred, true) if len(pred) <= len(true) else (true, pred)
    best = None
    for chosen in itertools.permutations(range(len(large)), len(small)):
        pairs = [(i, j) for i, j in enumerate(chosen)]
        distances = [np.hypot(*np.subtract(small[i], large[j])) for i, j in pairs]
        near = [d for d in distances if d <= radius_px]
        key = (-len(near), sum(near)) if gated else (sum(distances),)
        if best is None or key < best:
            best = key
    return best


@settings(max_examples=300, deadline=None)
@given(point_sets, point_sets, st.sampled_from([1.0, 2.0, 3.0, 5.0]))
def test_gated_matching_finds_the_most_matches_and_then_the_least_distance(pred, true, radius):
    matching = match_points(pred, true, radius_px=radius, method="gated")
    best = brute_force(pred, true, radius, gated=True)
    assert matching.tp == -best[0]
    assert matching.distance_px.sum() == pytest.approx(best[1])


@settings(max_examples=300, deadline=None)
@given(point_sets, point_sets, st.sampled_from([1.0, 2.0, 3.0]))
def test_hungarian_matching_minimises_total_distance_before_the_radius_eq_13(pred, true, radius):
    matching = match_points(pred, true, radius_px=radius, method="hungarian")
    best = brute_force(pred, true, radius, gated=False)
    everything = match_points(pred, true, radius_px=1e6, method="hungarian")
    assert everything.distance_px.sum() == pytest.approx(best[0])
    assert matching.tp == np.count_nonzero(everything.distance_px <= radius)


@given(point_sets, point_sets)
def test_a_matching_is_one_to_one_and_within_the_radius(pred, true):
    for method in ("gated", "hungarian"):
        m = match_points(pred, true, radius_px=2, method=method)
        assert len(set(m.pred_index.tolist())) == len(set(m.true_index.tolist())) == m.tp
        assert np.all(m.distance_px <= 2)
        assert (m.tp + m.fp, m.tp + m.fn) == (len(pred), len(true))
        assert m.is_true_positive.sum() == m.tp
        assert m.method == method


def test_the_two_methods_differ_where_the_paper_s_order_gives_matches_away():
    pred = [(0.0, 0.0), (10.0, 0.0)]
    true = [(9.0, 0.0), (14.0, 0.0)]
    # Total distance: 9 + 4 = 13 as drawn, 14 + 1 = 15 crossed. Only the crossed one has a pair
    # within 3 px.
    assert match_points(pred, true, radius_px=3, method="hungarian").tp == 0
    assert match_points(pred, true, radius_px=3, method="gated").tp == 1


def test_two_predictions_on_one_nucleus_count_one_false_positive():
    m = match_points([(5.0, 5.0), (5.5, 5.0)], [(5.4, 5.0)], radius_px=3)
    assert (m.tp, m.fp, m.fn) == (1, 1, 0)
    assert m.is_true_positive.tolist() == [False, True]


def test_the_radius_is_inclusive():
    assert match_points([(0.0, 0.0)], [(3.0, 4.0)], radius_px=5).tp == 1
    assert match_points([(0.0, 0.0)], [(3.0, 4.0)], radius_px=np.nextafter(5, 0)).tp == 0


@pytest.mark.parametrize("method", ["gated", "hungarian"])
def test_empty_sides_match_nothing(method):
    assert match_points([], [], radius_px=3, method=method).tp == 0
    m = match_points([], [(1.0, 2.0)], radius_px=3, method=method)
    assert (m.tp, m.fp, m.fn) == (0, 0, 1)
    m = match_points([(1.0, 2.0)], np.empty((0, 2)), radius_px=3, method=method)
    assert (m.tp, m.fp, m.fn) == (0, 1, 0)


def test_gated_matching_of_a_dense_field_equals_one_dense_assignment():
    rng = np.random.default_rng(1)
    pred, true = rng.uniform(0, 200, (600, 2)), rng.uniform(0, 200, (550, 2))
    distance = np.linalg.norm(pred[:, None] - true[None], axis=-1)
    cost = np.where(distance <= 6, distance, 6 * 10_000)
    rows, cols = linear_sum_assignment(cost)
    near = distance[rows, cols] <= 6
    m = match_points(pred, true, radius_px=6)
    assert m.tp == near.sum()
    assert m.distance_px.sum() == pytest.approx(distance[rows, cols][near].sum())


def test_hungarian_matching_beyond_its_limit_is_refused_with_what_to_do():
    many = np.zeros((HUNGARIAN_LIMIT + 1, 2))
    with pytest.raises(InputError, match="gated"):
        match_points(many, [(0.0, 0.0)], radius_px=3, method="hungarian")


@pytest.mark.parametrize("radius", [0, -1, np.nan, np.inf])
def test_an_impossible_radius_is_refused(radius):
    with pytest.raises(InputError, match="radius"):
        match_points([(0.0, 0.0)], [(0.0, 0.0)], radius_px=radius)


def test_points_that_are_no_points_are_refused():
    with pytest.raises(InputError, match="NaN"):
        match_points([(np.nan, 0.0)], [(0.0, 0.0)], radius_px=3)
    with pytest.raises(InputError, match=r"expected \(N, 2\)"):
        match_points([(1.0, 2.0, 3.0)], [(0.0, 0.0)], radius_px=3)
