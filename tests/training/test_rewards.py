from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.codec import Codec
from napari_nunext.core.scores.matching import match_points
from nunext_training.method.register import weighed
from nunext_training.method.rewards import (
    WindowMasks,
    detection_score,
    panoptic_reward,
    score_reply,
)

CODEC = Codec(bins=32, window_px=32, coordinate_start_id=10, separator_id=1, end_id=2)
WITH_CATEGORIES = Codec(
    bins=32,
    window_px=32,
    coordinate_start_id=10,
    separator_id=1,
    end_id=2,
    category_ids=(3, 4),
    category_names=("Round", "Pale"),
)
NOWHERE = np.empty((0, 2))
points = st.lists(st.tuples(st.integers(0, 31), st.integers(0, 31)), max_size=5).map(
    lambda pairs: np.array(pairs, dtype=float).reshape(-1, 2) + 0.5
)


def reward(pred_xy, true_xy, method="hungarian", radius_px=3.0):
    scored = score_reply(
        CODEC.encode(np.asarray(pred_xy, dtype=float).reshape(-1, 2)),
        np.asarray(true_xy, dtype=float).reshape(-1, 2),
        CODEC,
        radius_px=radius_px,
        method=method,
    )
    return scored.reward


def assignments(n_pred, n_true):
    """Every one-to-one assignment of the smaller side, as pairs."""
    few, many = min(n_pred, n_true), max(n_pred, n_true)
    for chosen in permutations(range(many), few):
        yield [(i, j) if n_pred <= n_true else (j, i) for i, j in enumerate(chosen)]


@settings(max_examples=60, deadline=None)
@given(points, points)
def test_eq_13_to_eq_17_by_brute_force(pred_xy, true_xy):
    distance = np.linalg.norm(pred_xy[:, None] - true_xy[None], axis=2)
    totals = {}
    for pairs in assignments(len(pred_xy), len(true_xy)):
        near = [distance[i, j] <= 3.0 for i, j in pairs]
        totals.setdefault(round(sum(distance[i, j] for i, j in pairs), 9), set()).add(sum(near))
    f1 = {  # Eq. 15-17 for each assignment of least total distance (Eq. 13) and its TP (Eq. 14)
        1.0 if len(pred_xy) + len(true_xy) == 0 else 2 * tp / (len(pred_xy) + len(true_xy))
        for tp in totals[min(totals)]
    }
    assert any(reward(pred_xy, true_xy) == pytest.approx(value) for value in f1)


@settings(max_examples=60, deadline=None)
@given(points, points)
def test_gated_matching_finds_the_most_true_positives_there_can_be(pred_xy, true_xy):
    distance = np.linalg.norm(pred_xy[:, None] - true_xy[None], axis=2)
    most = max(
        sum(distance[i, j] <= 3.0 for i, j in pairs)
        for pairs in assignments(len(pred_xy), len(true_xy))
    )
    total = len(pred_xy) + len(true_xy)
    assert reward(pred_xy, true_xy, "gated") == pytest.approx(2 * most / total if total else 1.0)
    assert reward(pred_xy, true_xy, "gated") >= reward(pred_xy, true_xy) - 1e-12


def test_eq_13_minimises_distance_before_eq_14_applies_the_radius():
    true_xy = [(10.5, 10.5), (13.5, 10.5)]
    pred_xy = [(10.5, 10.5), (10.5, 13.5)]
    # 0 + 4.24 px is the shorter assignment, with one pair within 3 px; 3 + 3 px has two.
    assert reward(pred_xy, true_xy, "hungarian") == pytest.approx(0.5)
    assert reward(pred_xy, true_xy, "gated") == 1.0


def test_f1_of_eq_17_is_that_of_precision_eq_15_and_recall_eq_16():
    # Two of three predictions are right, two of four nuclei found.
    pred_xy = [(4.5, 4.5), (20.5, 4.5), (12.5, 28.5)]
    true_xy = [(5.5, 4.5), (20.5, 6.5), (4.5, 20.5), (28.5, 20.5)]
    precision, recall = 2 / 3, 2 / 4
    assert reward(pred_xy, true_xy) == pytest.approx(
        2 * precision * recall / (precision + recall)  # Eq. 17
    )


def test_nothing_where_nothing_is_has_full_reward_and_anything_else_none():
    assert reward(NOWHERE, NOWHERE) == 1.0
    assert reward(NOWHERE, [(4, 4)]) == 0.0
    assert reward([(4, 4)], NOWHERE) == 0.0


@pytest.mark.parametrize(
    "reply",
    [
        (14, 14, 1, 14, 15),  # cut off
        (14, 14, 1, 2),  # ends after a comma
        (14, 2),  # a lone x
        (14, 14, 2, 14),  # goes on after its end
        (14, 14, 14, 2),  # no comma
        (),
    ],
)
def test_a_reply_that_fails_the_format_check_is_worth_nothing(reply):
    scored = score_reply(reply, np.array([(4.5, 4.5)]), CODEC, radius_px=3.0)
    assert scored.reward == 0.0
    assert scored.is_true_positive is None


def test_verdicts_are_in_the_order_of_the_reply_and_categories_do_not_enter():
    reply = WITH_CATEGORIES.encode(np.array([(4.5, 4.5), (20.5, 20.5)]), [1, 0])
    scored = score_reply(reply, np.array([(21.0, 20.0)]), WITH_CATEGORIES, radius_px=3.0)
    assert scored.is_true_positive is not None
    assert scored.is_true_positive.tolist() == [False, True]
    assert scored.reward == pytest.approx(2 / 3)


def squares(points_xy):
    labels = np.zeros((32, 32), dtype=int)
    for i, (x, y) in enumerate(np.floor(points_xy).astype(int), start=1):
        labels[y - 1 : y + 2, x - 1 : x + 2] = i
    return labels


def test_eq_19_adds_gamma_times_the_panoptic_quality_of_the_masks():
    true_xy = np.array([(8.5, 8.5), (20.5, 20.5)])
    reply = CODEC.encode(np.array([(8.5, 8.5), (22.5, 20.5)]))
    scored = score_reply(
        reply,
        true_xy,
        CODEC,
        radius_px=3.0,
        weights={"f1": 1.0, "pq": 0.5},
        masks=WindowMasks(squares(true_xy), squares),
    )
    # One square fits; the other shares 3 of 15 pixels, which is no match: PQ = 1 / (1 + 1/2 + 1/2).
    assert scored.reward == pytest.approx(1.0 + 0.5 * 0.5)
    assert weighed({"f1": 0.8, "pq": 0.6}, {"f1": 1.0, "pq": 0.5}) == pytest.approx(1.1)


def discs(points_xy, radius=2.5):
    rows, columns = np.mgrid[:32, :32] + 0.5
    labels = np.zeros((32, 32), dtype=int)
    for i, (x, y) in enumerate(points_xy, start=1):
        labels[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = i
    return labels


@settings(max_examples=60, deadline=None)
@given(points, points, st.floats(0.1, 15))
def test_the_margin_of_the_panoptic_reward_by_brute_force(pred_xy, true_xy, margin_px):
    drawn, truth = discs(pred_xy), discs(true_xy)

    def masks(labels):
        found = [set(map(tuple, np.argwhere(labels == i))) for i in np.unique(labels) if i]
        return [(m, *(np.mean(list(m), axis=0)[::-1] + 0.5)) for m in found]

    def counts(mask):
        return min(mask[1], mask[2], 32 - mask[1], 32 - mask[2]) >= margin_px - 1e-9

    ours, theirs = masks(drawn), masks(truth)
    pairs = [
        (p, t, len(p[0] & t[0]) / len(p[0] | t[0]))
        for p in ours
        for t in theirs
        if len(p[0] & t[0]) / len(p[0] | t[0]) > 0.5
    ]
    tp = [iou for p, t, iou in pairs if counts(p) or counts(t)]
    fp = sum(counts(p) for p in ours if all(p is not q for q, _, _ in pairs))
    fn = sum(counts(t) for t in theirs if all(t is not q for _, q, _ in pairs))
    total = len(tp) + fp / 2 + fn / 2
    found = panoptic_reward(pred_xy, truth, discs, margin_px)
    assert found == pytest.approx(sum(tp) / total if total else 1.0)


def test_masks_are_not_drawn_for_a_reply_that_fails_the_check():
    def never(points_xy):
        raise AssertionError("asked")

    masks, weights = WindowMasks(squares([(4.5, 4.5)]), never), {"f1": 1.0, "pq": 0.5}
    true_xy = np.array([(4.5, 4.5)])
    scored = score_reply((14, 14), true_xy, CODEC, radius_px=3.0, weights=weights, masks=masks)
    assert scored.reward == 0.0


def test_the_reward_of_a_matching_is_its_f1():
    matching = match_points([(0, 0), (9, 9)], [(0, 1)], radius_px=2.0, method="hungarian")
    assert detection_score(matching).f1 == pytest.approx(2 / 3)


@settings(max_examples=60, deadline=None)
@given(points, points, st.floats(0, 15))
def test_the_margin_by_brute_force(pred_xy, true_xy, margin_px):
    reply = CODEC.encode(pred_xy)
    scored = score_reply(reply, true_xy, CODEC, radius_px=3.0, method="gated", margin_px=margin_px)
    said_xy = CODEC.to_points(scored.parsed.bins_xy)
    matching = match_points(said_xy, true_xy, radius_px=3.0)

    def counts(point):
        return min(*point, *(32 - point)) >= margin_px

    pairs = list(zip(matching.pred_index, matching.true_index, strict=True))
    tp = sum(counts(said_xy[i]) or counts(true_xy[j]) for i, j in pairs)
    fp = sum(counts(p) for i, p in enumerate(said_xy) if i not in matching.pred_index)
    fn = sum(counts(p) for j, p in enumerate(true_xy) if j not in matching.true_index)
    assert scored.reward == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0)
    wrong = [i not in matching.pred_index and counts(p) for i, p in enumerate(said_xy)]
    assert scored.is_false_positive.tolist() == wrong
