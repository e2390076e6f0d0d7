"""What a person says of an answer is a gesture like any other: shown, saved, undone, kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.answers.boxes import AnswerBox, boxes_of
from napari_nunext.core.answers.opinions import Correction, Rating
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box
from napari_nunext.review.shown.ask import AnswerFilter, Way
from napari_nunext.store import Project
from napari_nunext.store.kinds.answers import Opinion, opinions
from tests.review.fakes import Later, review_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer

HOW_MANY = Question("question", "How many nuclei are there?")
NECROSIS = Question("question", "Is there necrosis?", ("yes", "no"))
ELSEWHERE = AnswerBox(Box(1, 2, 3, 4), "cluster")


@pytest.fixture
def rated(ask: Asker) -> Asker:
    """With an answer of a model that is selected."""
    ask.ask(NECROSIS, Way("vlm"))
    return ask


def test_stars_reasons_and_a_line_are_one_gesture_each(
    rated: Asker, opened: ReviewController
) -> None:
    steps = opened.model.undo_steps
    rated.judge.rate(2)
    assert opened.model.undo_words == "rated an answer"
    rated.judge.tag("too vague")
    rated.judge.comment("  which necrosis?  ")
    rated.judge.comment("which necrosis?")  # the same again is nothing
    assert rated.model.selected.rating == Rating(2, ("too vague",), "which necrosis?")
    assert opened.model.undo_steps == steps + 3
    rated.judge.rate(5)  # contradicts the reason, which goes
    assert rated.model.selected.rating == Rating(5, (), "which necrosis?")
    rated.judge.rate(5)
    assert rated.model.selected.rating.stars is None
    assert rated.model.answers == (rated.model.selected,)
    assert opened.model.save.phase == "saved"


def test_undo_and_redo_go_through_ratings_as_through_all_else(
    rated: Asker, opened: ReviewController
) -> None:
    rated.judge.rate(4)
    opened.correct.add(5, 5)
    rated.judge.correct_text("no")
    opened.history.undo()
    opened.history.undo()
    opened.history.undo()
    assert rated.model.selected.mine == Opinion()
    for _ in range(3):
        opened.history.redo()
    assert rated.model.selected.mine == Opinion(Rating(4), Correction("no", ()))
    assert rated.model.selected.text == "no"
    assert rated.model.selected.choice == 1


def test_boxes_are_corrected_as_a_whole_and_shown_so(rated: Asker) -> None:
    said = rated.model.boxes
    rated.judge.correct_boxes([*said, ELSEWHERE])
    assert rated.model.boxes == (*said, ELSEWHERE)
    rated.judge.correct_boxes([])
    assert rated.model.boxes == ()
    assert rated.model.selected.correction.boxes == ()
    rated.judge.correct_boxes(said)  # as it was said
    assert rated.model.selected.correction.says_nothing
    assert rated.model.boxes == said


def test_boxes_follow_a_text_that_names_others_or_none(rated: Asker) -> None:
    said, text = rated.model.boxes, rated.model.selected.text
    assert said
    rated.judge.correct_text(f"{text} It is pale.")  # the same boxes
    assert rated.model.selected.correction.boxes is None
    assert rated.model.boxes == said
    rated.judge.correct_text("no")
    assert rated.model.boxes == ()
    rated.judge.correct_text("yes, at [0, 0, 14, 14]")
    (box,) = rated.model.boxes
    sent, convention = rated.model.selected.answer.read_by
    assert boxes_of("[0, 0, 14, 14]", sent, convention).boxes == (box,)
    rated.judge.correct_text(text)  # as it was said
    assert rated.model.selected.correction.says_nothing
    assert rated.model.boxes == said


def test_boxes_that_were_corrected_by_hand_stay_whatever_the_text_says(rated: Asker) -> None:
    rated.judge.correct_boxes([ELSEWHERE])
    for text in ("yes, there is", "yes, at [0, 0, 14, 14]"):
        rated.judge.correct_text(text)
        assert rated.model.boxes == (ELSEWHERE,)


def test_boxes_of_counts_follow_its_text_too_in_pixels_of_the_image(ask: Asker) -> None:
    ask.ask(Question("question", "How many nuclei are there?"))
    ask.judge.correct_text("Three, round [8, 8, 64, 52].")
    assert [each.box for each in ask.model.boxes] == [Box(8, 8, 64, 52)]


def test_text_and_boxes_are_as_they_were_said_by_one_step(
    rated: Asker, opened: ReviewController
) -> None:
    rated.judge.correct_boxes([ELSEWHERE])
    rated.judge.correct_text("no")
    steps = opened.model.undo_steps
    rated.judge.as_said()
    assert rated.model.selected.correction.says_nothing
    assert opened.model.undo_steps == steps + 1
    rated.judge.as_said()  # is nothing then
    assert opened.model.undo_steps == steps + 1


def test_all_that_was_said_is_taken_back_at_once(rated: Asker, opened: ReviewController) -> None:
    rated.judge.rate(1)
    rated.judge.correct_text("no")
    steps = opened.model.undo_steps
    rated.judge.take_back()
    assert rated.model.selected.mine.says_nothing
    assert opened.model.undo_steps == steps + 1
    opened.history.undo()
    assert rated.model.selected.mine == Opinion(Rating(1), Correction("no", ()))


def test_what_is_too_long_is_a_sentence_and_no_event(
    rated: Asker, opened: ReviewController
) -> None:
    steps = opened.model.undo_steps
    rated.judge.comment("x" * 20_001)
    assert "20001 characters" in opened.model.notice.words
    rated.judge.correct_text("\ud800")
    assert "halves of characters" in opened.model.notice.words
    assert opened.model.undo_steps == steps


def test_without_an_answer_nothing_is_judged(ask: Asker, opened: ReviewController) -> None:
    steps = opened.model.undo_steps
    for judge in (
        lambda: ask.judge.rate(3),
        lambda: ask.judge.tag("unsafe"),
        lambda: ask.judge.correct_text("x"),
        lambda: ask.judge.take_back(),
        lambda: ask.judge.rate(3, "00000000-0000-0000-0000-000000000000"),
    ):
        judge()
    assert opened.model.undo_steps == steps


def test_a_rating_is_written_after_its_answer_and_read_again(
    tmp_path: Path, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    writer = Later()
    controller = review_on(tmp_path, server, writer_executor=writer)
    # Reading an image waits for the writer, so it may catch up only then.
    submit = writer.submit

    def at_once(*args, **kwargs):
        future = submit(*args, **kwargs)
        writer.catch_up()
        return future

    writer.submit = at_once
    controller.open.paths([tile_path("a.png")])
    writer.submit = submit
    controller.ask.ask(HOW_MANY)
    controller.ask.judge.rate(5)
    shown = controller.ask.model.selected
    assert shown.rating.stars == 5
    assert controller.model.save.phase == "saving"
    assert controller.session.project.answers() == ()
    writer.catch_up()
    assert controller.session.project.answers() == (shown.answer,)
    assert controller.model.save.phase == "saved"
    state = controller.session.state_of(shown.answer.image_sha256)
    controller.close()
    with Project.open(tmp_path / "review.nunext", annotator="ab") as reopened:
        assert reopened.answers() == (shown.answer,)
        assert reopened.state(shown.answer.image_sha256) == state
        assert opinions(state)[shown.id]["ab"].rating == Rating(5)
    again = review_on(tmp_path, server)
    again.open.paths([tile_path("other.png").parent / "a.png"])
    assert [each.rating.stars for each in again.ask.model.answers] == [5]
    again.close()


def test_what_others_said_is_shown_beside_mine(
    tmp_path: Path, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    path = tile_path("a.png")
    for reader, stars in (("mk", 2), ("ab", 4)):
        controller = review_on(tmp_path, server, annotator=reader)
        controller.open.paths([path])
        if reader == "mk":
            controller.ask.ask(HOW_MANY)
        controller.ask.book.select(controller.ask.model.answers[0].id)
        controller.ask.judge.rate(stars)
        shown = controller.ask.model.selected
        controller.close()
    assert shown.rating.stars == 4
    assert {who: said.rating.stars for who, said in shown.others.items()} == {"mk": 2}


def test_to_rate_an_accepted_field_leaves_it_accepted(
    rated: Asker, opened: ReviewController
) -> None:
    opened.decide.accept()
    if opened.model.notice is not None and opened.model.notice.action is not None:
        opened.model.notice.action()
    status = [item.status for item in opened.images.model.queue.items]
    assert status == ["done"]
    rated.judge.rate(1)
    rated.judge.correct_text("no")
    assert [item.status for item in opened.images.model.queue.items] == status


# The list


def test_the_list_is_searched_and_filtered(ask: Asker) -> None:
    ask.ask(HOW_MANY)
    ask.ask(NECROSIS, Way("vlm"))
    ask.judge.rate(2)
    ask.judge.comment("Überall")
    ask.ask(Question("lesions", "necrosis", organ="liver"), Way("other"))
    newest = [shown.answer.asked.question.task for shown in ask.model.answers]
    assert newest == ["lesions", "question", "question"]

    def listed(**wanted: object) -> list[str]:
        ask.book.filter(AnswerFilter(**wanted))
        return [shown.answer.by.name for shown in ask.model.answers]

    assert listed(text="NECROSIS") == ["other", "vlm"]
    assert listed(text="überall") == ["vlm"]
    assert listed(answerer="counts") == ["counts"]
    assert listed(task="lesions") == ["other"]
    assert listed(rated=True) == listed(stars=frozenset({2})) == ["vlm"]
    assert listed(rated=False) == ["other", "counts"]
    assert ask.model.total == 3
    assert listed() == ["other", "vlm", "counts"]
    assert ask.model.suggestions.lesions == ("necrosis",)
    assert ask.model.suggestions.organs == ("liver",)


def test_evidence_is_looked_at_and_selected_as_it_is_now(
    ask: Asker, opened: ReviewController
) -> None:
    looked = []
    opened.view.focus_requested.connect(lambda x, y: looked.append((x, y)))
    ask.ask(HOW_MANY)
    uids = ask.model.evidence.uuids()
    opened.correct.move({uids[1]: (33.0, 21.0)})
    opened.correct.delete([uids[2]])
    ask.book.look_at_nucleus(1)
    assert (looked.pop(), opened.view.model.selected) == ((33.0, 21.0), {uids[1]})
    ask.book.look_at_nucleus(2)  # deleted since: its place as it was
    assert looked.pop() == (60.0, 50.0)
    ask.book.select_nuclei()
    assert opened.view.model.selected == {uids[0], uids[1]}
    ask.ask(NECROSIS, Way("vlm"))
    (box,) = ask.model.boxes
    ask.book.look_at_box(0)
    ask.book.look_at_box(7)
    ask.book.look_at_nucleus(0)
    assert looked == [((box.box.x0 + box.box.x1) / 2, (box.box.y0 + box.box.y1) / 2)]


def test_a_list_of_subtypes_is_kept_by_the_project(
    ask: Asker, opened: ReviewController, tmp_path: Path
) -> None:
    journal = len(opened.session.project.journal_of_project())
    ask.lists.keep(" WHO ", ["a", " ", "b "])
    assert ask.model.kept == {"WHO": ("a", "b")}
    assert len(opened.session.project.journal_of_project()) == journal + 1
    ask.lists.keep("", ["a"])
    assert "needs a name" in opened.model.notice.words
    ask.lists.keep("WHO", [])
    assert ask.model.kept == {}


def test_another_project_has_other_answers(
    ask: Asker, opened: ReviewController, tmp_path: Path
) -> None:
    ask.ask(HOW_MANY)
    ask.set_budget(64)
    Project.open(tmp_path / "other.nunext", annotator="ab").close()
    opened.open.project(tmp_path / "other.nunext")
    assert opened.session.project.path.name == "other.nunext"
    assert (ask.model.answers, ask.model.total, ask.model.selected) == ((), 0, None)
    assert len(ask.model.evidence) == 0
    assert ask.model.budget == 64
    assert len(ask.model.answerers) == 3
