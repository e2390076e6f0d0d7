"""Letting an answerer choose its image tokens: what is asked, what is kept, what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.answers.prompts import Question
from napari_nunext.review.asking.agreeing import _names
from napari_nunext.review.shown.ask import Way
from napari_nunext.store.answers import Asked
from napari_nunext.ui.panels.asking.words import made_by, tokens_words
from tests.review.fakes import ALLOCATED, LOOKED_AT, answerer_info

if TYPE_CHECKING:
    from napari_nunext.review.asking.asker import Asker
    from tests.review.fakes import FakeServer

NECROSIS = Question("question", "Is there necrosis?", ("yes", "no"))


@pytest.fixture
def chooses(ask: Asker, server: FakeServer) -> Asker:
    """vlm can choose, other cannot."""
    server.fake.answering = [answerer_info(allocates=True), answerer_info("other")]
    ask.answerers.look()
    ask.answerers.choose("vlm")
    return ask


def test_nobody_chooses_unless_a_person_lets_them(chooses: Asker, server: FakeServer) -> None:
    chooses.ask(NECROSIS)
    assert not server.fake.asked[-1].allocate
    asked = chooses.model.answers[0].answer.asked
    assert (asked.allocated, asked.look_tokens) == (None, None)


def test_what_was_chosen_is_kept_with_the_answer(chooses: Asker, server: FakeServer) -> None:
    chooses.let_choose(True)
    assert chooses.way == Way("vlm", 256, allocate=True)
    chooses.ask(NECROSIS)
    request = server.fake.asked[-1]
    assert (request.allocate, request.budget) == (True, 256)
    (shown,) = chooses.model.answers
    asked = shown.answer.asked
    assert (asked.budget, asked.allocated, asked.look_tokens) == (256, ALLOCATED, LOOKED_AT)
    assert asked.image_tokens is not None
    assert asked.image_tokens <= ALLOCATED
    said = f"{asked.image_tokens} of 256 image tokens, chosen by the model, {LOOKED_AT} to look"
    assert said in made_by(shown)
    assert Asked.from_json(asked.to_json()) == asked


def test_one_that_cannot_choose_is_not_asked_to(chooses: Asker, server: FakeServer) -> None:
    chooses.let_choose(True)
    chooses.answerers.choose("other")
    assert not chooses.way.allocate
    chooses.ask(NECROSIS)
    assert not server.fake.asked[-1].allocate
    chooses.answerers.choose("vlm")
    assert chooses.way.allocate  # it was not forgotten


def test_asking_again_lets_it_choose_as_before(chooses: Asker, server: FakeServer) -> None:
    chooses.let_choose(True)
    chooses.ask(NECROSIS)
    chooses.let_choose(False)
    chooses.ask_again()
    assert server.fake.asked[-1].allocate


def test_the_choice_and_the_whole_budget_are_compared_as_two(
    chooses: Asker, server: FakeServer
) -> None:
    way = Way("vlm", 64)
    chooses.ask_two(NECROSIS, way, replace(way, allocate=True))
    assert sorted(each.allocate for each in server.fake.asked[-2:]) == [False, True]
    chooses.ask(NECROSIS, way)
    whole = chooses.model.answers[0].answer
    choice = replace(whole, asked=replace(whole.asked, allocated=6, look_tokens=2))
    assert _names(whole, choice) == (
        "vlm with 64 image tokens",
        "vlm with as many as it chooses of 64 image tokens",
    )
    assert _names(choice, choice) == ("vlm", "vlm")


def test_answers_of_earlier_projects_know_nothing_of_a_choice(chooses: Asker) -> None:
    chooses.ask(NECROSIS)
    written = chooses.model.answers[0].answer.asked.to_json()
    del written["look_tokens"]
    assert Asked.from_json(written).look_tokens is None


def test_words_say_what_was_spent() -> None:
    assert tokens_words(36, 256) == "36 of 256 image tokens"
    assert tokens_words(36, None) == "36 image tokens"
    words = tokens_words(36, 256, chosen=True, look=16)
    assert words == "36 of 256 image tokens, chosen by the model, 16 to look"
    assert tokens_words(36, 256, chosen=False, look=0) == "36 of 256 image tokens"
