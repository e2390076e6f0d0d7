from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import JudgedPoint, Rollout
from nunext_training.method.advantages import (
    filter_groups,
    group_advantages,
    reply_from_verdicts,
    shape_advantage,
    token_advantages,
    varied_groups,
)
from nunext_training.method.rewards import score_reply

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
groups = st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5).map(
    np.array
)


def scored_reply(pred_xy, true_xy, codec=CODEC, categories=None):
    reply = codec.encode(np.array(pred_xy, dtype=float).reshape(-1, 2), categories)
    truth = np.array(true_xy, dtype=float).reshape(-1, 2)
    return reply, score_reply(reply, truth, codec, radius_px=2.0)


@given(groups)
def test_eq_12_standardises_each_group(rewards):
    assume((rewards.std(axis=1) > 1e-6).all())
    advantages = group_advantages(rewards)
    for row, group in zip(advantages, rewards, strict=True):
        mean = sum(group) / len(group)
        std = (sum((r - mean) ** 2 for r in group) / len(group)) ** 0.5
        np.testing.assert_allclose(row, [(r - mean) / std for r in group], atol=1e-6)


def test_equal_rewards_have_no_advantage():
    assert group_advantages([[0.7] * 8, [0.0] * 8]).tolist() == [[0.0] * 8] * 2
    assert group_advantages([[0.1 + 0.2, 0.3, 0.3]]).tolist() == [[0.0] * 3]


def test_the_papers_example_shows_why_groups_are_filtered_and_they_are():
    rewards = np.array([[0.0, 0.5, 1.0], [0.20, 0.20, 0.21]])
    advantages = group_advantages(rewards)
    assert advantages[1, 2] == advantages.max()  # 0.21 outdoes 1.0
    kept = varied_groups(rewards, 0.02)
    assert kept.tolist() == [True, False]
    filtered = filter_groups(advantages, kept)
    np.testing.assert_allclose(filtered[0], 2 * advantages[0])  # N / N_kept = 2
    assert not filtered[1].any()


def test_a_group_whose_rewards_vary_by_just_the_bound_is_kept():
    assert varied_groups([[0.0, 1.0], [0.0, 0.99]], 0.5).tolist() == [True, False]


@given(groups, st.floats(0, 0.3))
def test_the_mean_goes_over_the_kept_groups_alone(rewards, min_std):
    kept = varied_groups(rewards, min_std)
    squares = group_advantages(rewards) ** 2
    filtered = filter_groups(squares, kept)
    if kept.any():
        assert filtered.mean() == pytest.approx(squares[kept].mean())
    else:
        assert not filtered.any()


def test_the_share_of_all_processes_prevails():
    advantages = np.ones((2, 3))
    kept = np.array([True, False])
    assert filter_groups(advantages, kept, 0.25).tolist() == [[4.0] * 3, [0.0] * 3]
    assert not filter_groups(advantages, np.zeros(2, dtype=bool), 0.0).any()


def test_eq_18_by_hand():
    # (4, 4) is a nucleus, (20, 20) is none: x y , x y end
    reply, scored = scored_reply([(4.5, 4.5), (20.5, 20.5)], [(4.5, 5.0)])
    assert len(reply) == 6
    up = shape_advantage(2.0, scored, len(reply), 0.5)
    assert up.tolist() == [2.0, 2.0, 2.0, 1.0, 1.0, 2.0]  # the false positive earns less
    down = shape_advantage(-2.0, scored, len(reply), 0.5)
    assert down.tolist() == [-1.0, -1.0, -1.0, -2.0, -2.0, -2.0]  # the true one is spared
    assert not shape_advantage(0.0, scored, len(reply), 0.5).any()


def test_the_category_belongs_to_its_point_and_the_end_to_none():
    reply, scored = scored_reply([(20.5, 20.5)], [], WITH_CATEGORIES, [1])
    assert shape_advantage(1.0, scored, len(reply), 0.25).tolist() == [0.25, 0.25, 0.25, 1.0]


@given(
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 31)), max_size=6),
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 31)), max_size=6),
    st.floats(-2, 2),
    st.floats(0, 1),
)
def test_eq_18_token_by_token(pred, true, advantage, decay):
    reply, scored = scored_reply(np.add(pred, 0.5), np.add(true, 0.5))
    shaped = shape_advantage(advantage, scored, len(reply), decay)
    for n, value in enumerate(shaped):
        expected = advantage
        if n < len(reply) - 1:  # not the end: the n-th token belongs to point n // 3
            right = bool(scored.is_true_positive[n // 3])
            if (advantage > 0 and not right) or (advantage < 0 and right):
                expected = decay * advantage
        assert value == pytest.approx(expected)


def test_a_reply_that_failed_the_format_check_keeps_its_advantage():
    reply = (14, 14, 1, 14)
    scored = score_reply(reply, np.array([(4.5, 4.5)]), CODEC, radius_px=2.0)
    assert shape_advantage(-1.5, scored, 4, 0.5).tolist() == [-1.5] * 4


def test_replies_of_different_length_are_padded_with_nothing():
    (one, a), (none, b) = scored_reply([(4.5, 4.5)], [(4.5, 4.5)]), scored_reply([], [])
    table = token_advantages([a, b], [1.0, -1.0], [len(one), len(none)], 0.5)
    assert table.tolist() == [[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]


def judged(x, y, verdict, category="Round"):
    return JudgedPoint(x, y, category, None, verdict)


def test_peoples_verdicts_shape_as_the_matching_would():
    # Written in another order than raster: the verdicts follow their points.
    rollout = Rollout((judged(20.5, 20.5, "fp"), judged(4.5, 4.5, "tp")), missed=1)
    reply, scored = reply_from_verdicts(rollout, CODEC)
    truth = np.array([(4.5, 4.5), (28.5, 4.5)])
    matched = score_reply(reply, truth, CODEC, radius_px=2.0)
    assert scored.reward == matched.reward == pytest.approx(0.5)
    assert scored.is_true_positive.tolist() == matched.is_true_positive.tolist() == [True, False]

    shaped = shape_advantage(-1.0, scored, len(reply), 0.5)
    assert shaped.tolist() == [-0.5, -0.5, -0.5, -1.0, -1.0, -1.0]
    shaped = shape_advantage(1.0, scored, len(reply), 0.5)
    assert shaped.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 1.0]


def test_a_point_in_the_margin_that_people_rejected_is_no_false_positive():
    rollout = Rollout((judged(20.5, 20.5, "fp"), judged(1.5, 20.5, "fp")), missed=0)
    reply, scored = reply_from_verdicts(rollout, CODEC, margin_px=4.0)
    wrong = dict(zip(scored.parsed.bins_xy[:, 0].tolist(), scored.is_false_positive, strict=True))
    assert wrong == {1: False, 20: True}
    assert sorted(shape_advantage(1.0, scored, len(reply), 0.5)) == [0.5, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_replies_without_their_advantage_are_a_mistake():
    _, scored = scored_reply([(4.5, 4.5)], [(4.5, 4.5)])
    with pytest.raises(ValueError, match="shorter"):
        token_advantages([scored, scored], [1.0], [3, 3], 0.5)


def test_a_persons_rating_is_the_reward_where_there_is_one():
    rollout = Rollout((judged(4.5, 4.5, "tp"),), missed=3, rating=0.9)
    assert reply_from_verdicts(rollout, CODEC)[1].reward == 0.9


def test_categories_of_verdicts_are_the_codecs_own():
    rollout = Rollout((judged(4.5, 4.5, "tp", "Pale"),), missed=0)
    assert reply_from_verdicts(rollout, WITH_CATEGORIES)[0][2] == 4
    with pytest.raises(InputError, match="Round, Pale"):
        reply_from_verdicts(Rollout((judged(4.5, 4.5, "tp", "Blob"),), missed=0), WITH_CATEGORIES)
