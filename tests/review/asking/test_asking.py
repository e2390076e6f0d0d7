"""A question is put, its answer streams, and what came is kept for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.review.asking import round as rounds
from napari_nunext.review.shown.ask import COUNTS_ANSWERER, AskStatus, Way
from napari_nunext.serving.protocol import Failed
from napari_nunext.store import Project
from tests.review.fakes import SAID, FakeServer, answerer_info, review_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.controller import ReviewController

HOW_MANY = Question("question", "How many nuclei are there?")
NECROSIS = Question("question", "Is there necrosis?", ("yes", "no"))
VLM = Way("vlm")


def test_counts_answers_from_the_nuclei_and_shows_them(
    ask: Asker, opened: ReviewController
) -> None:
    ask.ask(HOW_MANY)
    (shown,) = ask.model.answers
    assert shown.text == "3"
    assert shown.answer.by.kind == "counts"
    assert len(ask.model.evidence) == 3
    assert ask.model.selected == shown
    assert opened.session.project.answers() == (shown.answer,)


def test_counts_counts_no_rejected_nucleus_and_only_the_region(
    ask: Asker, opened: ReviewController
) -> None:
    opened.view.set_region(Box(0, 0, 40, 64))
    ask.choose_where("region")
    ask.ask(HOW_MANY)
    assert ask.model.answers[0].text == "2"
    assert ask.model.answers[0].answer.asked.region == Box(0, 0, 40, 64)


def test_an_answer_streams_and_its_boxes_are_there_before_its_end(
    ask: Asker, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "DRAFT_S", 0.0)
    seen = []
    server.fake.says = [
        "<think>pa",
        "le</think><answer>yes [[2, 4, 30, 40]]",
        lambda: seen.append((ask.model.status.phase, ask.model.draft, ask.model.boxes)),
        " and more</answer>",
    ]
    ask.ask(NECROSIS, VLM)
    ((phase, draft, boxes),) = seen
    assert phase == "writing"
    assert (draft.think, draft.answer) == ("pale", "yes [[2, 4, 30, 40]]")
    assert draft.image_tokens is not None
    assert draft.image_tokens > 0
    (box,) = boxes
    (shown,) = ask.model.answers
    assert shown.boxes == (box,)
    assert ask.model.status == AskStatus()
    assert ask.model.draft is None
    assert ask.model.boxes == (box,)
    said, asked = shown.answer.said, shown.answer.asked
    assert (said.finish, said.choice, said.output_tokens) == ("stop", 0, 5)
    assert asked.prompt.startswith("Is there necrosis? (A) yes")
    assert asked.budget == 256
    assert asked.sent_px is not None
    assert shown.answer.by.model == "vlm:7b"
    assert not shown.answer.by.may_train


def test_stop_keeps_what_came(ask: Asker, server: FakeServer, opened: ReviewController) -> None:
    server.fake.says = ["<think>pale</think><answer>ye", ask.stop, "s</answer>"]
    ask.ask(NECROSIS, VLM)
    (answer,) = opened.session.project.answers()
    assert answer.said.finish == "cancelled"
    assert answer.said.answer == "ye"
    assert server.fake.cancelled == [server.fake.asked[0].run]
    assert not ask.model.status.busy


def test_stopped_before_anything_was_said_nothing_is_kept(
    ask: Asker, server: FakeServer, opened: ReviewController
) -> None:
    server.fake.says = [ask.stop, "never"]
    ask.ask(NECROSIS, VLM)
    assert opened.session.project.answers() == ()
    assert "Nothing was said" in opened.model.notice.words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ServerUnavailableError("The model server stopped."), "The model server stopped."),
        (RequestRejectedError("It has no image part.", 400, None), "It has no image part."),
        (Failed(code="answerer", message="The key is wrong."), "The key is wrong."),
    ],
)
def test_what_came_before_the_server_failed_is_kept_and_why_is_said(
    ask: Asker, server: FakeServer, opened: ReviewController, error: object, words: str
) -> None:
    server.fake.says = ["<think>pale</think><answer>yes [[2, 4, 30, 40]]", error]
    ask.ask(NECROSIS, VLM)
    (answer,) = opened.session.project.answers()
    assert answer.said.finish == "broken"
    assert len(answer.said.boxes) == 1
    assert opened.model.notice.words == f"{words} What was said so far stays."
    assert ask.model.answers[0].answer == answer
    assert not ask.model.status.busy


def test_a_server_that_is_not_there_is_one_sentence(
    ask: Asker, server: FakeServer, opened: ReviewController
) -> None:
    server.fake.down = True
    ask.ask(NECROSIS, VLM)
    assert opened.model.notice.level == "error"
    assert opened.model.notice.action_label == "Restart"
    assert ask.model.answers == ()


def test_a_late_answer_belongs_to_the_image_that_it_was_asked_of(
    ask: Asker, server: FakeServer, opened: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    opened.open.paths([tile_path("b.png")])
    opened.images.go_to(0)
    first = opened.images.model.open_field.entry.sha256
    seen = []
    server.fake.says = [
        "<answer>yes ",
        opened.images.next,
        "[[2, 4, 30, 40]]",
        lambda: seen.append((ask.model.draft, ask.model.boxes, ask.model.status.image_sha256)),
        "</answer>",
    ]
    ask.ask(NECROSIS, VLM)
    assert seen == [(None, (), first)]
    assert opened.images.model.open_field.entry.sha256 != first
    assert (ask.model.answers, ask.model.selected, ask.model.boxes) == ((), None, ())
    opened.images.previous()
    assert [each.answer.image_sha256 for each in ask.model.answers] == [first]


def test_a_window_that_closes_keeps_what_came(
    tmp_path: Path, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    main = []
    controller = review_on(tmp_path, server, on_main=lambda f: main.append(f))

    def turn() -> None:
        while main:
            main.pop(0)()

    controller.find.connect()
    controller.open.paths([tile_path("a.png")])
    turn()
    controller.ask.answerers.look()
    turn()
    server.fake.says = ["<answer>ye", controller.close, "s</answer>"]
    controller.ask.ask(NECROSIS, VLM)
    turn()
    with Project.open(tmp_path / "review.nunext", annotator="ab") as reopened:
        (answer,) = reopened.answers()
        assert (answer.said.answer, answer.said.finish) == ("ye", "cancelled")


@pytest.mark.parametrize(
    ("question", "way", "words"),
    [
        (Question("subtype", "", ("a", "b")), Way(), "answers questions alone"),
        (HOW_MANY, Way("nobody"), "no answerer 'nobody'"),
    ],
)
def test_what_cannot_be_asked_is_said(
    ask: Asker, opened: ReviewController, question: Question, way: Way, words: str
) -> None:
    ask.ask(question, way)
    assert words in opened.model.notice.words
    assert opened.session.project.answers() == ()


def test_a_region_that_is_not_there_is_said(ask: Asker, opened: ReviewController) -> None:
    for where, words in (("region", "No region is drawn"), ("view", "in view")):
        ask.choose_where(where)
        assert ask.picture() is None
        ask.ask(HOW_MANY)
        assert words in opened.model.notice.words
    opened.view.look_from(Box(-100, -100, 40, 30))
    ask.ask(HOW_MANY)
    assert ask.model.answers[0].answer.asked.region == Box(0, 0, 40, 30)


def test_the_picture_is_within_the_budget_of_the_answerer(ask: Asker) -> None:
    assert ask.picture() is None  # Counts needs none
    ask.answerers.choose("vlm")
    ask.set_budget(4)
    picture = ask.picture()
    assert picture is not None
    assert picture.image_tokens <= 4


def test_each_answerer_has_the_budget_that_it_was_taught_with_until_a_person_sets_one(
    ask: Asker, server: FakeServer
) -> None:
    taught = {"small": 64, "vlm": None}
    server.fake.answering = [answerer_info(name, budget=n) for name, n in taught.items()]
    ask.answerers.look()
    ask.answerers.choose("small")
    assert ask.model.budget == 64
    ask.answerers.choose("vlm")
    assert ask.model.budget == 256
    ask.set_budget(144)
    ask.answerers.choose("small")
    assert ask.model.budget == ask.way.budget == 64
    ask.answerers.choose("vlm")
    assert ask.model.budget == 144
    server.fake.answering = [answerer_info("vlm", budget=36, allocates=True)]
    ask.answerers.look()
    assert ask.model.budget == 144


def test_everybody_who_can_be_asked_is_known_with_where_the_picture_goes(
    ask: Asker, server: FakeServer
) -> None:
    counts, vlm, other = ask.model.answerers
    assert counts == COUNTS_ANSWERER
    assert (vlm.where, vlm.may_train, vlm.tasks) == (
        "stays on this machine",
        False,
        ("question", "subtype", "lesions"),
    )
    assert other.where == "goes to far.example"
    server.fake.url = "https://gpu.example"
    ask.answerers.look()
    assert [a.where for a in ask.model.answerers[1:]] == [
        "goes to gpu.example",
        "goes to far.example",
    ]
    ask.answerers.choose("other")
    server.fake.answering = server.fake.answering[:1]
    ask.answerers.look()
    assert ask.model.answerer == "counts"
    server.fake.down = True
    ask.answerers.look()
    assert ask.model.answerers == (COUNTS_ANSWERER,)
    assert "no model server" in ask.model.problem
    assert not ask.model.looking


def test_an_answerer_is_added_kept_and_chosen(
    ask: Asker,
    server: FakeServer,
    opened: ReviewController,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAPARI_NUNEXT_HOME", str(tmp_path / "home"))
    text = "other=https://far.example/v1#m"
    ask.answerers.add(text)
    assert server.answerers == (text,)
    assert server.restarts == 1
    assert ask.model.answerer == "other"
    assert (tmp_path / "home" / "answerers.txt").read_text() == f"{text}\n"
    ask.answerers.add("no address")
    assert (
        "cannot be the name" in opened.model.notice.words or "address" in opened.model.notice.words
    )
    assert server.restarts == 1
    ask.answerers.remove("other")
    assert server.answerers == ()
    assert (tmp_path / "home" / "answerers.txt").read_text() == ""


def test_another_project_waits_until_the_answer_was_stopped(
    ask: Asker, server: FakeServer, opened: ReviewController, tmp_path: Path
) -> None:
    other = tmp_path / "other.nunext"
    Project.open(other, annotator="ab").close()
    said = []

    def switch() -> None:
        opened.open.project(other)
        said.append(opened.model.notice.words)
        ask.stop()

    server.fake.says = ["<answer>ye", switch, "s</answer>"]
    ask.ask(NECROSIS, VLM)
    assert said[0].startswith(
        f"An answer is being written. To open {tmp_path.name}/other.nunext, it has to be stopped"
    )
    assert len(opened.session.project.answers()) == 1


def test_the_said_text_is_what_the_fake_says(ask: Asker) -> None:
    ask.ask(NECROSIS, VLM)
    assert ask.model.answers[0].answer.said.raw == SAID
