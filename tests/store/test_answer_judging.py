"""What several readers say adds up to one verdict, or to none where they contradict each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.opinions import PREFERRED, Correction, Preference, Rating
from napari_nunext.store.exports.answers.judging import (
    AnswerVerdict,
    PairVerdict,
    judge_answer,
    judge_pair,
)
from napari_nunext.store.kinds.answers import Opinion

RIGHT, OTHER = Correction("12"), Correction("13")


def rated(stars, *tags):
    return Opinion(Rating(stars, tags))


def corrected(correction, stars=None):
    return Opinion(Rating(stars), correction)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([], AnswerVerdict()),
        ([rated(5)], AnswerVerdict(accepted=True, rating=1.0)),
        ([rated(4), rated(5)], AnswerVerdict(accepted=True, rating=0.875)),
        ([rated(3)], AnswerVerdict(rating=0.5)),
        ([rated(5), rated(3)], AnswerVerdict(rating=0.75)),
        (
            [rated(1, "unsafe"), rated(2, "wrong finding")],
            AnswerVerdict(bad=True, rating=0.125, tags=("wrong finding", "unsafe")),
        ),
        ([rated(5), rated(1)], AnswerVerdict(rating=0.5, disputed=True)),
        ([corrected(RIGHT)], AnswerVerdict(correction=RIGHT)),
        ([corrected(RIGHT, 4)], AnswerVerdict(correction=RIGHT, rating=0.75)),
        ([corrected(RIGHT), corrected(RIGHT, 2)], AnswerVerdict(False, True, RIGHT, 0.25)),
        ([corrected(RIGHT), rated(3)], AnswerVerdict(correction=RIGHT, rating=0.5)),
        ([corrected(RIGHT), corrected(OTHER)], AnswerVerdict(disputed=True)),
        ([corrected(RIGHT), rated(5)], AnswerVerdict(rating=1.0, disputed=True)),
        ([Opinion(Rating(None, (), "hm"))], AnswerVerdict()),
    ],
)
def test_opinions_add_up(said, verdict):
    assert judge_answer(said) == verdict


opinions = st.builds(
    Opinion,
    st.builds(Rating, st.sampled_from([None, 1, 2, 3, 4, 5])),
    st.sampled_from([Correction(), RIGHT, OTHER]),
)


@given(st.lists(opinions, max_size=5), st.randoms())
def test_the_order_of_readers_does_not_matter_and_nothing_is_both_right_and_wrong(said, random):
    verdict = judge_answer(said)
    assert (
        verdict.accepted + verdict.bad + (verdict.correction is not None and not verdict.bad) <= 1
    )
    assert not (verdict.disputed and (verdict.accepted or verdict.correction is not None))
    shuffled = list(said)
    random.shuffle(shuffled)
    assert judge_answer(shuffled).rating == pytest.approx(verdict.rating)
    again = judge_answer(shuffled)
    assert (again.accepted, again.bad, again.correction, again.disputed) == (
        verdict.accepted,
        verdict.bad,
        verdict.correction,
        verdict.disputed,
    )


def vote(what, *, blind=True, turned=False):
    return Preference("b" if turned else "a", "a" if turned else "b", what, blind)


@pytest.mark.parametrize(
    ("cast", "verdict"),
    [
        ([], PairVerdict()),
        ([vote("left")], PairVerdict("a", blind=True)),
        ([vote("left"), vote("right", turned=True)], PairVerdict("a", blind=True)),
        ([vote("left"), vote("right")], PairVerdict(blind=True, disputed=True)),
        ([vote("left"), vote("tie")], PairVerdict(blind=True, disputed=True)),
        ([vote("left"), vote("skipped")], PairVerdict("a", blind=True)),
        ([vote("tie")], PairVerdict(blind=True)),
        ([vote("both_bad")], PairVerdict(both_bad=True, blind=True)),
        ([vote("right", blind=False)], PairVerdict("b")),
        ([vote("right", blind=False), vote("left")], PairVerdict("a", blind=True)),
        ([vote("skipped")], PairVerdict()),
    ],
)
def test_votes_add_up_and_blind_ones_come_first(cast, verdict):
    assert judge_pair(cast) == verdict


@given(st.lists(st.builds(vote, st.sampled_from(PREFERRED), blind=st.booleans()), max_size=5))
def test_only_what_all_say_counts(cast):
    verdict = judge_pair(cast)
    said = {v.preferred for v in cast if v.blind or not any(w.blind for w in cast)} - {"skipped"}
    if verdict.better_id is not None or verdict.both_bad:
        assert (
            len(
                {v.preferred for v in cast if v.preferred != "skipped" and v.blind == verdict.blind}
            )
            == 1
        )
    assert not (verdict.disputed and len(said) == 1)
