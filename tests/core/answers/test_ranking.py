"""Ranking by votes: textbook figures, a general optimiser, which votes count, and intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from napari_nunext.core.answers.enough import FEWEST, NotEnough
from napari_nunext.core.answers.opinions import PREFERRED
from napari_nunext.core.answers.ranking import RIDGE, Vote, bradley_terry, rank
from napari_nunext.core.errors import InputError

AMERICAN_LEAGUE = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
"""Games of 1987, Milwaukee to Baltimore (Agresti, Categorical Data Analysis)."""

NAMES = st.sampled_from(["A", "B", "C"])
VOTES = st.builds(
    Vote,
    NAMES,
    NAMES,
    st.sampled_from(PREFERRED),
    st.booleans(),
    st.sampled_from(["ana", "ben"]),
)


def cast(left, right, preferred, times=1, *, blind=True, annotator="ana"):
    return [Vote(left, right, preferred, blind, annotator)] * times


def by_name(ranking):
    return {each.name: each for each in ranking.standings}


def test_the_american_league_of_1987():
    strengths = bradley_terry(AMERICAN_LEAGUE, ridge=1e-9)
    assert (strengths - strengths[-1]).round(2).tolist() == [
        1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0,
    ]  # fmt: skip


def test_figures_of_another_program():
    """choix 0.4.1, `opt_pairwise` with alpha 0.5: its penalty has no half."""
    strengths = bradley_terry([[0, 7, 3], [2, 0, 5], [4, 1, 0]], ridge=1.0)
    assert strengths == pytest.approx([0.29753033, -0.0453149, -0.25221542], abs=1e-5)


@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 50), min_size=k, max_size=k),
                           min_size=k, max_size=k)
    ),
    st.sampled_from([RIDGE, 1.0]),
)  # fmt: skip
def test_strengths_are_those_of_a_general_optimiser(wins, ridge):
    table = np.array(wins, dtype=float)
    np.fill_diagonal(table, 0)

    def loss(s):
        return (table * np.logaddexp(0, s[None, :] - s[:, None])).sum() + ridge / 2 * (s @ s)

    theirs = minimize(loss, np.zeros(len(table)), method="BFGS", options={"gtol": 1e-9})
    ours = bradley_terry(wins, ridge)
    assert loss(ours) <= theirs.fun + 1e-8
    assert ours.sum() == pytest.approx(0, abs=1e-8)


def test_tables_at_once_are_tables_one_by_one(rng):
    tables = rng.integers(0, 30, (40, 4, 4))
    tables[:5] *= np.triu(np.ones((4, 4), dtype=int), 1)  # the first wins all
    each = [bradley_terry(table) for table in tables]
    assert np.allclose(bradley_terry(tables), each, atol=1e-8)


def test_two_that_are_compared():
    ranking = rank(cast("A", "B", "left", 30) + cast("B", "A", "left", 10))
    first, second = ranking.standings
    assert first.name == "A"
    assert first.share == pytest.approx(31 / 42, abs=1e-3)  # a vote more each way
    assert first.strength == pytest.approx(np.log(31 / 11) / 2, abs=1e-3)
    assert second.share == pytest.approx(1 - first.share)
    assert first.interval.low < first.share < first.interval.high
    assert first.interval.low == pytest.approx(31 / 42 - 1.96 * 0.068, abs=0.02)
    assert ranking.sure


def test_a_side_that_wins_always_is_not_certain():
    first, _ = rank(cast("A", "B", "left", FEWEST)).standings
    assert 0.9 < first.share < 1
    assert 0.8 < first.interval.low < first.share < first.interval.high <= 1


def test_a_tie_is_half_a_vote_for_each():
    tied = rank(cast("A", "B", "tie", 20) + cast("A", "B", "left", 10))
    halves = rank(cast("A", "B", "left", 20) + cast("A", "B", "right", 10))
    assert by_name(tied)["A"].strength == pytest.approx(by_name(halves)["A"].strength)
    assert tied.ties == 20
    even = rank(cast("A", "B", "tie", 20))
    assert [each.share for each in even.standings] == pytest.approx([0.5, 0.5])
    assert not even.sure
    assert [each.name for each in even.standings] == ["A", "B"]


def test_both_bad_counts_for_nobody_and_is_told():
    votes = cast("A", "B", "left", 15) + cast("A", "B", "right", 10)
    ranking = rank(votes + cast("A", "B", "both_bad", 7) + cast("A", "C", "both_bad", 9))
    assert ranking.standings == rank(votes).standings
    assert (ranking.both_bad, ranking.votes) == (16, 25)
    assert "16 found both bad" in ranking.in_words


def test_who_did_not_say_counts_for_nobody():
    votes = cast("A", "B", "left", 15) + cast("A", "B", "right", 10)
    assert rank(votes + cast("A", "B", "skipped", 7) + cast("A", "C", "skipped", 9)) == rank(votes)


def test_votes_of_people_who_saw_the_names_do_not_rank():
    votes = cast("A", "B", "left", 15) + cast("A", "B", "right", 10)
    ranking = rank(votes + cast("A", "B", "right", 100, blind=False, annotator="ben"))
    assert ranking.standings == rank(votes).standings
    assert (ranking.named, ranking.readers) == (100, 1)


def test_votes_between_answers_of_one_answerer_say_nothing():
    votes = cast("A", "B", "left", 15) + cast("A", "B", "right", 10)
    assert rank(votes + cast("A", "A", "left", 50)) == rank(votes)


def test_three_are_ranked_through_those_they_met():
    ranking = rank(
        cast("A", "B", "left", 40)
        + cast("A", "B", "right", 20)
        + cast("C", "B", "right", 40)
        + cast("C", "B", "left", 20)
    )
    assert [each.name for each in ranking.standings] == ["A", "B", "C"]
    assert sum(each.strength for each in ranking.standings) == pytest.approx(0, abs=1e-8)
    assert np.mean([each.share for each in ranking.standings]) == pytest.approx(0.5)


def test_what_never_met_is_not_ranked():
    said = rank(cast("A", "B", "left", 20) + cast("C", "D", "left", 20))
    assert isinstance(said, NotEnough)
    assert "never compared" in said.in_words


def test_under_twenty_votes_there_is_no_ranking():
    few = cast("A", "B", "left", FEWEST - 1) + cast("A", "B", "both_bad", 5)
    said = rank(few + cast("A", "B", "left", 50, blind=False))
    assert isinstance(said, NotEnough)
    assert "19 of the 20 blind votes" in said.in_words
    assert isinstance(rank([]), NotEnough)


@given(st.lists(VOTES, min_size=30, max_size=60), st.randoms(use_true_random=False))
def test_neither_the_order_of_votes_nor_their_sides_matter(votes, shuffling):
    opposite = {"left": "right", "right": "left"}
    turned = [
        replace(v, left=v.right, right=v.left, preferred=opposite.get(v.preferred, v.preferred))
        for v in votes
    ]
    shuffling.shuffle(turned)
    assert rank(turned) == rank(votes)


@given(st.lists(VOTES, min_size=30, max_size=60))
def test_the_ranking_is_by_strength_and_shares_lie_in_their_bounds(votes):
    ranking = rank(votes)
    if isinstance(ranking, NotEnough):
        return
    strengths = [each.strength for each in ranking.standings]
    assert np.all(np.diff(strengths) <= 1e-8)
    for each in ranking.standings:
        assert 0 <= each.interval.low <= each.interval.high <= 1
        assert 0 < each.share < 1


def test_the_sentence_says_who_how_far_and_by_how_many():
    ranking = rank(cast("A", "B", "left", 12) + cast("A", "B", "right", 10, annotator="ben"))
    words = ranking.in_words
    assert words.startswith("In 22 blind votes by 2 readers")
    assert "A 54% (" in words
    assert "the order is not sure" in words
    sure = rank(cast("A", "B", "left", 50)).in_words
    assert "not sure" not in sure
    assert "both bad" not in sure


def test_a_vote_for_something_else_is_refused():
    with pytest.raises(InputError, match="expected one of left, right, tie, both_bad"):
        Vote("A", "B", "both_good", True, "ana")
