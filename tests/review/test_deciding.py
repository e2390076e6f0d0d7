"""Accepting is of what is seen: it waits, asks once, and says what it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.review.correcting.coverage import unsearched_parts, unseen_parts
from napari_nunext.review.correcting.deciding import (
    CHANGED_WORDS,
    FLAGGED_WORDS,
    LARGE_WORDS,
    PARTLY_WORDS,
)
from tests.review.fakes import FakeServer, done, points, review_on, started, window_done

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.correcting.deciding import Decision
    from napari_nunext.store import FieldState

FIELD = Box(0, 0, 80, 64)
HERE = Box(8, 8, 40, 40)


def state_of(controller: ReviewController) -> FieldState:
    state = controller.model.state
    assert state is not None
    return state


def decision(controller: ReviewController) -> Decision:
    return controller.decide.decision()


def search(
    controller: ReviewController, server: FakeServer, *xy, region: Box | None = None
) -> None:
    server.fake.script = [started(), points(*xy), done(len(xy))]
    controller.find.search(region)


def answer(controller: ReviewController) -> None:
    """Press the one button of the notice."""
    notice = controller.model.notice
    assert notice is not None
    assert notice.action is not None
    controller.model.notice = None
    notice.action()


def words(controller: ReviewController) -> str:
    return "" if controller.model.notice is None else controller.model.notice.words


def test_a_searched_field_is_accepted_without_a_question(
    opened: ReviewController, server: FakeServer
) -> None:
    search(opened, server, (10, 10), (30, 30))
    assert decision(opened).label == "Accept field"
    opened.decide.accept()
    assert words(opened) == ""
    assert state_of(opened).complete == (FIELD,)
    assert decision(opened).reopens


def test_finding_after_accepting_takes_the_field_out_of_truth_until_it_is_accepted_again(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    search(opened, server, (10, 10))
    opened.decide.accept()
    assert opened.learn.model.harvest.fields == 1
    search(opened, server, (20, 20), (30, 30))
    assert state_of(opened).changed == (FIELD,)
    assert opened.images.model.queue.items[0].status == "changed"
    assert opened.learn.model.harvest.fields == 0
    assert decision(opened).label == "Accept field again"
    assert decision(opened).note == CHANGED_WORDS
    opened.export.training(tmp_path / "out")
    assert "changed since it was accepted" in words(opened)
    opened.decide.accept()
    assert opened.images.model.queue.items[0].status == "done"
    assert (opened.learn.model.harvest.fields, opened.learn.model.harvest.nuclei) == (1, 2)
    assert decision(opened).note == ""


def test_ones_own_edits_and_their_undo_keep_the_acceptance(
    opened: ReviewController, server: FakeServer
) -> None:
    search(opened, server, (10, 10))
    opened.decide.accept()
    uid = opened.correct.add(40, 40)
    opened.correct.move({uid: (41, 41)})
    opened.history.undo()
    assert state_of(opened).complete == (FIELD,)
    assert opened.images.model.queue.items[0].status == "done"


def test_accepting_waits_for_a_search_and_offers_to_stop_it(
    opened: ReviewController, server: FakeServer
) -> None:
    seen: list[tuple[str, str]] = []

    def accept() -> None:
        opened.decide.accept()
        seen.append((decision(opened).label, words(opened)))
        answer(opened)

    server.fake.script = [
        started(windows=2),
        points((10, 10)),
        window_done(1, 2),
        accept,
        done(1, "cancelled"),
    ]
    opened.find.search()
    (label, said), *more = seen
    assert not more
    assert label == "Accept after search"
    assert "still running" in said
    assert server.fake.cancelled, "the button stops it"
    assert state_of(opened).acceptances == ()
    opened.decide.accept()
    assert "neither searched to its end" in words(opened), "it was stopped: part is not searched"
    assert state_of(opened).acceptances == ()
    answer(opened)
    assert state_of(opened).complete == (FIELD,)
    assert state_of(opened) == opened.session.project.state(
        opened.images.model.open_field.entry.sha256
    )


def test_a_search_of_another_field_keeps_nobody_from_accepting_this_one(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    controller.find.connect()
    controller.open.paths([tile_path("a.png"), tile_path("b.png"), tile_path("c.png")])
    statuses = []

    def go_on_and_accept() -> None:
        controller.images.next()
        controller.correct.add(5, 5)
        controller.decide.accept()
        controller.images.go_to(0)
        controller.decide.accept()
        statuses.extend(item.status for item in controller.images.model.queue.items)

    server.fake.script = [
        started(),
        points((10, 10)),
        go_on_and_accept,
        points((30, 30), first=1),
        done(2),
    ]
    controller.find.search()
    assert statuses == ["open", "done", "open"]
    controller.decide.accept()
    assert [item.status for item in controller.images.model.queue.items] == ["done", "done", "open"]


@pytest.mark.parametrize("ending", [done(1, "cancelled"), ServerUnavailableError("It is gone.")])
def test_a_search_that_did_not_end_has_searched_nothing(
    opened: ReviewController, server: FakeServer, ending: object
) -> None:
    server.fake.script = [started(), points((10, 10)), ending]
    opened.find.search()
    assert unsearched_parts(state_of(opened), FIELD) == [FIELD]
    opened.decide.accept()
    assert state_of(opened).acceptances == ()
    assert "neither searched to its end" in words(opened)


def test_an_empty_field_is_accepted_only_when_it_is_meant_and_asked_once(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.decide.accept()
    opened.decide.accept()
    assert state_of(opened).acceptances == ()
    assert "No nuclei are marked in this field" in words(opened)
    answer(opened)
    assert state_of(opened).complete == (FIELD,)
    opened.decide.reopen()
    opened.decide.accept()
    assert state_of(opened).complete == (FIELD,), "the same is not asked twice"
    opened.history.undo()
    search(opened, server)
    opened.decide.accept()
    assert words(opened) == "There are no nuclei in this field. Is that so?", "another question"
    assert state_of(opened).acceptances == ()


def test_accepting_all_of_a_large_slide_says_that_it_is_no_training_data(
    opened: ReviewController, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(opened, server)
    opened.correct.add(10, 10)
    monkeypatch.setattr("napari_nunext.review.correcting.deciding.MOST_PIXELS", 100)
    opened.decide.accept()
    assert state_of(opened).acceptances == ()
    assert words(opened) == LARGE_WORDS
    answer(opened)
    assert state_of(opened).complete == (FIELD,)


def test_an_answer_that_comes_after_something_changed_asks_anew(
    opened: ReviewController, server: FakeServer
) -> None:
    search(opened, server, (10, 10), region=HERE)
    opened.view.model.region = None
    opened.decide.accept()
    late = opened.model.notice
    opened.correct.delete(state_of(opened).nuclei)
    late.action()
    assert state_of(opened).acceptances == ()
    assert words(opened) != late.words


def test_what_was_drawn_and_searched_is_what_is_accepted(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.view.set_region(HERE)
    assert decision(opened).label == "Accept field", "nobody has looked there yet"
    search(opened, server, (10, 10), region=HERE)
    assert decision(opened).label == "Accept region"
    assert "drawn region" in decision(opened).tip
    opened.decide.accept()
    assert state_of(opened).complete == (HERE,)
    opened.view.set_region(None)
    assert (decision(opened).label, decision(opened).note) == ("Accept field", PARTLY_WORDS)
    opened.decide.accept()
    assert "Part of this field was neither searched" in words(opened)
    answer(opened)
    assert state_of(opened).complete == (FIELD,)


def test_a_flagged_field_says_why_it_is_not_done(
    opened: ReviewController, server: FakeServer
) -> None:
    search(opened, server, (10, 10))
    opened.decide.accept()
    opened.correct.flag()
    assert opened.images.model.queue.done == 0
    assert opened.learn.model.harvest.fields == 0
    assert decision(opened).note == FLAGGED_WORDS
    opened.correct.flag()
    assert opened.images.model.queue.done == 1
    assert opened.learn.model.harvest.fields == 1


def test_accepting_again_what_is_accepted_writes_nothing(
    opened: ReviewController, server: FakeServer
) -> None:
    search(opened, server, (10, 10))
    opened.decide.accept()
    steps = opened.model.undo_steps
    opened.decide.accept()
    assert opened.model.undo_steps == steps


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_nobody_searched_are_every_pixel_nobody_searched(
    opened: ReviewController, server: FakeServer, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    searched = np.zeros((64, 80), dtype=bool)
    for _ in range(5):
        x0, y0, width, height = rng.integers((0, 0, 5, 5), (60, 50, 40, 40)).tolist()
        region = Box(x0, y0, min(x0 + width, 80), min(y0 + height, 64))
        ended = bool(rng.random() < 0.6)
        server.fake.script = [started(), done(0, "complete" if ended else "cancelled")]
        opened.find.search(region)
        searched[y0 : int(region.y1), x0 : int(region.x1)] = ended
    left = np.zeros_like(searched)
    for part in unsearched_parts(state_of(opened), FIELD):
        rows, columns = slice(int(part.y0), int(part.y1)), slice(int(part.x0), int(part.x1))
        assert not left[rows, columns].any(), "parts do not overlap"
        left[rows, columns] = True
    assert (left == ~searched).all()
    for part in unsearched_parts(state_of(opened), FIELD):
        opened.correct.add((part.x0 + part.x1) / 2, (part.y0 + part.y1) / 2)
    assert unseen_parts(state_of(opened), FIELD) == []


def test_undo_takes_back_the_acceptance_on_the_image_before_and_goes_there(
    controller: ReviewController, tile_path: Callable[[str], Path], tmp_path: Path
) -> None:
    paths = [tile_path("a.png"), tile_path("b.png")]
    controller.open.paths(paths)
    controller.correct.add(10, 10)
    controller.decide.accept()
    assert controller.images.model.queue.index == 1
    controller.history.undo()
    assert controller.images.model.queue.index == 0
    assert state_of(controller).acceptances == ()
    controller.history.redo()
    assert state_of(controller).complete == (FIELD,)
    controller.images.next()
    controller.history.undo()
    controller.history.undo()
    assert (controller.images.model.queue.index, state_of(controller).nuclei) == (0, {})
    controller.history.redo()
    controller.history.redo()
    controller.close()
    again = review_on(tmp_path, FakeServer())
    again.open.paths([paths[1], paths[0]])
    assert (again.images.model.queue.index, again.model.undo_steps) == (0, 2)
    again.history.undo()
    assert again.images.model.queue.index == 1
    assert state_of(again).acceptances == ()
    assert len(state_of(again).nuclei) == 1
    again.close()
