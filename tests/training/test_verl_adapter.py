from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import InputError
from nunext_training.method.advantages import (
    filter_groups,
    group_advantages,
    token_advantages,
    varied_groups,
)
from nunext_training.method.rewards import score_reply
from nunext_training.recipes.stage_sections import RftOptions
from nunext_training.trainers.verl_adapter import (
    MARK,
    fine_grained_advantages,
    register,
    token_rewards,
)

CODEC = Codec(bins=32, window_px=32, coordinate_start_id=100, separator_id=11, end_id=50)
TRUTH = np.array([(4.5, 4.5), (20.5, 8.5), (10.5, 25.5)])


def scored(points):
    reply = CODEC.encode(np.array(points, dtype=float).reshape(-1, 2))
    return reply, score_reply(reply, TRUTH, CODEC, radius_px=3.0)


@pytest.fixture
def rollouts():
    """Two groups of three replies: some points right, some wrong, one reply cut off."""
    replies = [
        scored([(4.5, 4.5), (28.5, 28.5)]),
        scored([(4.5, 4.5), (20.5, 8.5), (10.5, 25.5)]),
        scored([(28.5, 2.5)]),
        scored([]),
        scored([(5.5, 4.5), (20.5, 20.5), (10.5, 24.5)]),
    ]
    cut_off = replies[0][0][:-1]
    return [*replies, (cut_off, score_reply(cut_off, TRUTH, CODEC, radius_px=3.0))]


def as_verl_has_them(rollouts, longest=16):
    rewards = torch.zeros(len(rollouts), longest)
    mask = torch.zeros(len(rollouts), longest, dtype=torch.int64)
    for row, (reply, score) in enumerate(rollouts):
        rewards[row, : len(reply)] = torch.from_numpy(token_rewards(score, len(reply)))
        mask[row, : len(reply)] = 1
    return rewards, mask


def expected(rollouts, groups, options):
    """By the functions that our own trainer uses, for equal groups in order."""
    rewards = np.array([score.reward for _, score in rollouts]).reshape(groups, -1)
    kept = varied_groups(rewards, options.min_std if options.filter_groups else 0.0)
    advantages = filter_groups(group_advantages(rewards), kept).ravel()
    decay = options.beta if options.shape_advantages else 1.0
    lengths = [len(reply) for reply, _ in rollouts]
    return token_advantages([score for _, score in rollouts], advantages, lengths, decay)


def test_a_row_sums_to_its_reward_and_marks_its_points(rollouts):
    reply, score = rollouts[0]
    rewards = token_rewards(score, len(reply))
    assert rewards[:6].tolist() == [MARK] * 3 + [-MARK] * 2 + [rewards[5]]
    for reply, score in rollouts:
        assert token_rewards(score, len(reply)).sum() == pytest.approx(score.reward, abs=1e-6)


def test_a_point_in_the_margin_that_stands_for_nothing_is_marked_neither_right_nor_wrong(rollouts):
    reply, score = rollouts[0]
    ignored = ~score.is_true_positive
    rewards = token_rewards(replace(score, is_ignored=ignored), len(reply))
    assert rewards[:5].tolist() == [MARK] * 3 + [0.0] * 2


@pytest.mark.parametrize(
    "options",
    [
        RftOptions(),
        RftOptions(beta=0.0),
        RftOptions(shape_advantages=False),
        RftOptions(min_std=0.43),
        RftOptions(min_std=0.43, filter_groups=False),
        RftOptions(min_std=9.0),
    ],
)
def test_eq_18_through_verl_is_eq_18(rollouts, options):
    rewards, mask = as_verl_has_them(rollouts)
    index = np.array(["a", "a", "a", "b", "b", "b"], dtype=object)
    got = fine_grained_advantages(rewards, mask, index, options)
    assert got.shape == rewards.shape
    table = expected(rollouts, 2, options)
    np.testing.assert_allclose(got[:, : table.shape[1]], table, atol=1e-4)
    assert not got[:, table.shape[1] :].any()


def test_rows_of_a_group_need_not_be_neighbours(rollouts):
    rewards, mask = as_verl_has_them(rollouts)
    index = np.array(["a", "a", "a", "b", "b", "b"], dtype=object)
    order = np.array([3, 0, 5, 1, 4, 2])
    whole = fine_grained_advantages(rewards, mask, index, RftOptions())
    mixed = fine_grained_advantages(rewards[order], mask[order], index[order], RftOptions())
    torch.testing.assert_close(mixed, whole[order])


def test_a_filtered_group_is_left_out_of_the_mean(rollouts):
    rewards, mask = as_verl_has_them([*rollouts[:3], rollouts[3], rollouts[3], rollouts[3]])
    index = np.array([7, 7, 7, 8, 8, 8])
    got = fine_grained_advantages(rewards, mask, index, RftOptions(shape_advantages=False))
    assert not got[3:].any()
    alone = fine_grained_advantages(
        rewards[:3], mask[:3], index[:3], RftOptions(shape_advantages=False)
    )
    torch.testing.assert_close(got[:3], 2 * alone)  # N / N_kept


@pytest.fixture
def verl(monkeypatch):
    """What of verl is called: its registry, under its name."""
    algos = ModuleType("verl.trainer.ppo.core_algos")
    algos.registry = {}

    def register_adv_est(name):
        def decorator(fn):
            if algos.registry.setdefault(name, fn) is not fn:
                raise ValueError(f"{name} has already been registered")
            return fn

        return decorator

    algos.register_adv_est = register_adv_est
    for name in ("verl", "verl.trainer", "verl.trainer.ppo"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, algos.__name__, algos)
    return algos


def test_verl_calls_the_estimator_by_its_name(verl, rollouts):
    register(RftOptions(beta=0.25))
    rewards, mask = as_verl_has_them(rollouts)
    # As verl's trainer calls any estimator but its own two.
    advantages, returns = verl.registry["nunext"](
        token_level_rewards=rewards,
        response_mask=mask,
        config={"adv_estimator": "nunext"},
        index=np.array([0, 0, 0, 1, 1, 1]),
    )
    table = expected(rollouts, 2, RftOptions(beta=0.25))
    np.testing.assert_allclose(advantages[:, : table.shape[1]], table, atol=1e-4)
    assert torch.equal(advantages, returns)


def test_without_verl_registering_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "verl", None)
    with pytest.raises(InputError, match="verl's own environment"):
        register()
    with pytest.raises(InputError, match=r"coordinate_temperature is 0\.5; expected 1 with verl"):
        register(RftOptions(coordinate_temperature=0.5))
