"""Rewards of answers beside brute force and the libraries that others score with (Eq. 7 to 10)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.reply import Reply, ReplyFailure
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from nunext_training.method.answer_rewards import (
    ANSWER_REWARDS,
    SeenAnswer,
    Truth,
    allocation_reward,
    bleu,
    closeness,
    score_answer,
)

A = Box(0, 0, 10, 10)


def seen(said: str = "", truth: str | None = None, **more) -> SeenAnswer:
    return SeenAnswer(Reply("because", said), Truth(answer=truth), **more)


def said_by(name: str, answer: SeenAnswer) -> float:
    return ANSWER_REWARDS.get(name)(answer)


def test_the_format_is_right_or_wrong():
    assert said_by("format", seen("yes")) == 1
    broken = SeenAnswer(Reply("", "yes", ReplyFailure("no tags", 0)))
    assert said_by("format", broken) == 0


@pytest.mark.parametrize(
    ("said", "truth", "options", "worth"),
    [
        ("Yes.", "yes", (), 1),
        ("yes, there is", "yes", (), 0),  # closed: exact after folding, no more
        ("(B) no", "no", ("yes", "no"), 1),
        ("B", "no", ("yes", "no"), 1),
        ("b", "B", ("yes", "no"), 1),  # the truth may be a letter too
        ("A or B", "no", ("yes", "no"), 0),
        ("maybe", "no", ("yes", "no"), 0),
        ("yes", "perhaps", ("yes", "no"), 0),  # a truth that is no option is nobody's answer
        ("The Spindle cells", "spindle cells", (), 1),
        ("", "spindle cells", (), 0),
        ("12", "12", (), 1),
        ("about 13 nuclei", "12", (), 1 - 1 / 12),
        ("1,012", "1012", (), 1),
        ("2", "0", (), 0.5),
        ("12 or 13", "12", (), 0),
        ("many", "12", (), 0),
    ],
)
def test_eq_7_closed_questions_numbers_and_words(said, truth, options, worth):
    assert said_by("answer", seen(said, truth, options=options)) == pytest.approx(worth)


def test_eq_7_open_answers_have_bleu_that_short_answers_can_reach():
    assert bleu("spindle cells", "spindle cells") == pytest.approx(1)
    assert bleu("necrosis", "a necrosis.") == pytest.approx(1)
    near = bleu("invasive ductal carcinoma of breast", "invasive ductal carcinoma of the breast")
    # "the" is an article: folded away.
    assert near == pytest.approx(1)
    assert 0 < bleu("invasive carcinoma", "invasive ductal carcinoma of the breast") < 0.5
    assert bleu("ductal carcinoma", "carcinoma ductal", order=1) == pytest.approx(1)
    assert bleu("ductal carcinoma", "carcinoma ductal") < 1


@given(st.integers(-50, 500), st.integers(0, 500))
def test_closeness_falls_evenly_from_1_to_0(said, truth):
    worth = closeness(said, truth)
    assert worth == pytest.approx(max(0, 1 - abs(said - truth) / max(4, truth)))
    assert (worth == 1) == (said == truth)


def test_eq_8_a_subtype_is_right_or_wrong():
    options = ("neoplastic", "non-neoplastic")
    right = seen("non-neoplastic", "non-neoplastic", options=options)
    assert said_by("subtype", right) == 1
    assert said_by("subtype", seen("neoplastic", "non-neoplastic", options=options)) == 0


def test_eq_9_boxes_have_their_average_precision():
    far = Box(50, 50, 60, 60)
    truth = Truth(boxes=(A,))
    assert said_by("boxes", SeenAnswer(Reply("", ""), truth, boxes=(A, far))) == 1
    assert said_by("boxes", SeenAnswer(Reply("", ""), truth, boxes=(far, A))) == 0.5


def test_nothing_said_pays_only_where_it_is_weighed():
    empty, full = Truth(boxes=()), Truth(boxes=(A,))
    silent = Reply("", "none")
    for name, of_empty, of_full in (("boxes", 1, 0), ("boxes_absent", 1, None)):
        assert said_by(name, SeenAnswer(silent, empty)) == of_empty
        worth = said_by(name, SeenAnswer(silent, full))
        assert np.isnan(worth) if of_full is None else worth == of_full
    assert np.isnan(said_by("boxes_found", SeenAnswer(silent, empty)))
    assert said_by("boxes_found", SeenAnswer(silent, full, boxes=(A,))) == 1


def test_the_sum_leaves_out_what_is_not_known():
    weights = {"answer": 1.0, "rating": 1.0, "format": 0.5}
    known = score_answer(seen("no", "yes", rating=0.75), weights)
    assert (known.reward, known.terms) == (0.5, {"answer": 0.0, "format": 1.0})
    rated = score_answer(seen("no", rating=0.75), weights)
    assert (rated.reward, rated.terms) == (1.25, {"rating": 0.75, "format": 1.0})
    with pytest.raises(InputError, match="neither a truth nor a rating"):
        score_answer(seen("no"), weights)
    with pytest.raises(InputError, match="no reward 'wit'"):
        score_answer(seen("no", "no"), {"wit": 1.0})


def test_eq_10_fewer_tokens_are_worth_something_where_the_answer_stays():
    for after, before, n, n_before in product((0.0, 1.0), (0.0, 1.0), (16, 256), (64, 256)):
        worth = allocation_reward(after, before, n, n_before, 0.1)
        assert worth == pytest.approx((after - before) - 0.1 * (n - n_before) / n_before)
    assert allocation_reward(1, 1, 16, 256, 0.1) > 0 > allocation_reward(1, 1, 256, 64, 0.1)
    with pytest.raises(InputError, match="expected 1 or more"):
        allocation_reward(1, 1, 0, 256, 0.1)
