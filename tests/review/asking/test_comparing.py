"""Two answers side by side: blind where they were asked for at once, and what votes add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.review.asking.agreeing import judgements_of
from napari_nunext.review.shown.ask import Way
from napari_nunext.store import Project, events
from napari_nunext.store.kinds.answers import preferences

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.answers.opinions import Preferred
    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer

NECROSIS = Question("question", "Is there necrosis?", ("yes", "no"))


def votes(opened: ReviewController) -> list[tuple[Preferred, bool]]:
    state = opened.model.state
    return [(v["ab"].preferred, v["ab"].blind) for v in preferences(state).values()]


@pytest.fixture
def compared(ask: Asker) -> Asker:
    ask.ask_two(NECROSIS, Way("vlm"), Way("other", 64))
    return ask


def test_two_answers_are_shown_together_and_nobody_knows_whose(
    ask: Asker, server: FakeServer, opened: ReviewController
) -> None:
    seen = []
    server.fake.says = [
        "<answer>y",
        lambda: seen.append(
            (ask.model.status.answers, ask.model.draft, ask.model.pair, ask.model.total)
        ),
        "es</answer>",
    ]
    ask.ask_two(NECROSIS, Way("vlm"), Way("other", 64))
    assert seen == [(0, None, None, 0), (1, None, None, 0)]
    pair = ask.model.pair
    assert pair.hides_names
    assert {pair.left.answerer, pair.right.answerer} == {""}
    assert {pair.left.answer.by.name, pair.right.answer.by.name} == {"vlm", "other"}
    assert (ask.model.answers, ask.model.selected) == ((), None)
    assert len({a.asked_together for a in opened.session.project.answers()}) == 1
    assert pair.left.answer.asked_together is not None


def test_sides_are_drawn_by_lot(ask: Asker) -> None:
    lefts = set()
    for _ in range(60):  # all on one side: once in 2^59
        ask.ask_two(NECROSIS, Way("vlm"), Way("other"))
        lefts.add(ask.model.pair.left.answer.by.name)
    assert lefts == {"vlm", "other"}


@pytest.mark.parametrize("preferred", ["left", "right", "tie", "both_bad", "skipped"])
def test_a_judgement_shows_the_names_and_is_kept(
    compared: Asker, opened: ReviewController, preferred: Preferred
) -> None:
    compared.compare.judge(preferred)
    pair = compared.model.pair
    assert pair.preferred == preferred
    assert not pair.hides_names
    assert pair.left.answerer == pair.left.answer.by.name
    assert votes(opened) == [(preferred, True)]
    assert compared.model.total == 2
    assert opened.model.undo_words == "compared two answers"
    compared.compare.close()
    assert compared.model.pair is None


def test_a_vote_once_names_were_seen_is_not_blind(
    compared: Asker, opened: ReviewController
) -> None:
    compared.compare.judge("left")
    opened.history.undo()
    assert compared.model.pair.preferred is None
    assert votes(opened) == []
    compared.compare.judge("right")
    assert votes(opened) == [("right", False)]


def test_what_is_rated_while_names_are_hidden_is_rated_blind(compared: Asker) -> None:
    left = compared.model.pair.left.id
    compared.judge.rate(4, left)
    assert compared.model.pair.left.rating.blind
    compared.book.select(left)  # to see its boxes
    assert compared.model.selected.answerer == ""
    assert compared.model.boxes == compared.model.pair.left.boxes
    compared.compare.judge("left")
    compared.judge.rate(3, left)
    assert not compared.model.pair.left.rating.blind
    assert compared.model.selected.answerer != ""


def test_a_pair_that_is_put_away_is_in_the_list_and_unjudged(
    compared: Asker, opened: ReviewController
) -> None:
    compared.compare.close()
    assert compared.model.total == 2
    assert votes(opened) == []
    first, second = compared.model.answers
    compared.compare.side_by_side(first.id, second.id)
    assert not compared.model.pair.hides_names
    compared.compare.judge("tie")
    assert votes(opened) == [("tie", False)]
    compared.compare.side_by_side(second.id, first.id)
    assert compared.model.pair.preferred == "tie"
    compared.compare.side_by_side(first.id, first.id)
    assert compared.model.pair.left.id == second.id


def test_sides_that_were_changed_change_what_was_preferred(compared: Asker) -> None:
    compared.compare.judge("left")
    better = compared.model.pair.left.id
    compared.compare.side_by_side(compared.model.pair.right.id, better)
    assert compared.model.pair.preferred == "right"


def test_a_pair_waits_for_its_image(
    ask: Asker, opened: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    opened.open.paths([tile_path("b.png")])
    opened.images.go_to(0)
    ask.ask_two(NECROSIS, Way("vlm"), Way("other"))
    opened.images.next()
    assert ask.model.pair is None
    opened.images.previous()
    assert ask.model.pair.hides_names


def test_one_answer_alone_is_no_pair(
    ask: Asker, server: FakeServer, opened: ReviewController
) -> None:
    fails = iter((False, True))

    def may_fail() -> None:
        if next(fails):
            raise ServerUnavailableError("The model server stopped.")

    server.fake.says = ["<answer>y", may_fail, "es</answer>"]
    ask.ask_two(NECROSIS, Way("vlm"), Way("other"))
    assert ask.model.pair is None
    assert [shown.answer.said.finish for shown in ask.model.answers] == ["broken", "stop"]


def test_two_samples_have_seeds_of_their_own(ask: Asker, server: FakeServer) -> None:
    ask.ask_two_samples(NECROSIS, Way("vlm"))
    first, second = server.fake.asked
    assert first.seed != second.seed
    assert first.temperature == second.temperature > 0
    assert ask.model.pair.hides_names


def test_counts_can_be_compared_with_a_model(ask: Asker) -> None:
    ask.ask_two(Question("question", "How many nuclei are there?"), Way(), Way("vlm"))
    pair = ask.model.pair
    assert {pair.left.answer.by.kind, pair.right.answer.by.kind} == {"counts", "model"}


def test_what_judgements_add_up_to_is_said(ask: Asker, opened: ReviewController) -> None:
    ask.look_at_agreement()
    assert len(ask.model.agreement) == 2
    assert all(words.startswith("Not enough yet") for words in ask.model.agreement)
    for _ in range(20):
        ask.ask_two(NECROSIS, Way("vlm"), Way("other"))
        pair = ask.model.pair
        ask.compare.judge("left" if pair.left.answer.by.name == "vlm" else "right")
    ask.ask_two(NECROSIS, Way("vlm"), Way("other"))
    ask.compare.judge("skipped")  # counts for nobody
    path = opened.session.project.path
    for i, shown in enumerate(ask.model.answers[:21]):
        ask.judge.rate(4 if i % 2 else 2, shown.id)
    ask.book.select("")
    sha256 = opened.images.model.open_field.entry.sha256
    stars = {s.id: s.rating for s in ask.model.answers if s.rating.stars}
    opened.close()
    with Project.open(path, annotator="mk") as other:
        other.append([events.rate_answer(sha256, id_, rating) for id_, rating in stars.items()])
        agree, choose, prefer = judgements_of(other).in_words
    assert "2 readers agree well in their ratings of 21 answers" in agree
    assert choose.startswith("Not enough yet")  # every choice is yes
    assert prefer.startswith("In 20 blind votes by 1 reader")
    assert prefer.index("vlm") < prefer.index("other")
