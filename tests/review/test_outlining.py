"""Outlines follow what people place and where they click, and are undone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.core.geometry import Box
from tests.review.fakes import (
    FakeServer,
    Later,
    done,
    points,
    review_on,
    square,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.serving.protocol import PromptPoint


def around_the_first(clicks: list[PromptPoint]) -> Mask:
    """A square at the nucleus' point that grows with each click inside, and shrinks otherwise."""
    grown = sum(2 if click.positive else -2 for click in clicks[1:])
    return square(clicks[0].x, clicks[0].y, side_px=8 + grown)


def mask_of(controller: ReviewController, uid: UUID) -> Mask | None:
    assert controller.model.state is not None
    return controller.model.state.nuclei[uid].nucleus.mask


def saved_mask_of(controller: ReviewController, uid: UUID) -> Mask | None:
    field = controller.images.model.open_field
    assert field is not None
    return controller.session.project.state(field.entry.sha256).nuclei[uid].nucleus.mask


@pytest.fixture
def drawing(opened: ReviewController, server: FakeServer) -> ReviewController:
    """With a server that draws outlines."""
    server.fake.outline = around_the_first
    return opened


# What people place


def test_a_nucleus_that_is_placed_gets_an_outline_and_loses_it_with_one_undo(
    drawing: ReviewController,
) -> None:
    uid = drawing.correct.add(30.5, 20.5)
    assert mask_of(drawing, uid) == saved_mask_of(drawing, uid) == square(30.5, 20.5)
    assert drawing.model.undo_steps == 1
    drawing.history.undo()
    assert drawing.model.state is not None
    assert uid not in drawing.model.state.nuclei
    drawing.history.redo()
    assert mask_of(drawing, uid) == saved_mask_of(drawing, uid) == square(30.5, 20.5)


def test_a_nucleus_moved_off_its_outline_gets_another_and_undo_brings_back_the_first(
    drawing: ReviewController,
) -> None:
    uid = drawing.correct.add(30.5, 20.5)
    drawing.correct.move({uid: (32.5, 20.5)})
    assert mask_of(drawing, uid) == square(30.5, 20.5)  # still on it
    drawing.correct.move({uid: (50.5, 40.5)})
    assert mask_of(drawing, uid) == square(50.5, 40.5)
    assert drawing.model.undo_steps == 3
    drawing.history.undo()
    assert mask_of(drawing, uid) == square(30.5, 20.5)


def test_nuclei_moved_together_are_asked_for_together(
    drawing: ReviewController, server: FakeServer
) -> None:
    uids = [drawing.correct.add(x, 20.5) for x in (10.5, 30.5)]
    drawing.correct.move({uids[0]: (10.5, 50.5), uids[1]: (30.5, 50.5)})
    assert [len(request.prompts) for request in server.fake.segmented] == [1, 1, 2]
    assert [mask_of(drawing, uid) for uid in uids] == [square(10.5, 50.5), square(30.5, 50.5)]


def test_other_gestures_ask_for_nothing(drawing: ReviewController, server: FakeServer) -> None:
    uid = drawing.correct.add(30.5, 20.5)
    drawing.correct.relabel([uid], "Nucleus")
    drawing.correct.comment("a nucleus")
    drawing.correct.delete([uid])
    assert len(server.fake.segmented) == 1


def test_without_outlines_none_is_asked_for_until_they_are_wanted(
    drawing: ReviewController, server: FakeServer
) -> None:
    drawing.view.show_outlines(False)
    uid = drawing.correct.add(30.5, 20.5)
    gone = drawing.correct.add(60.5, 20.5)
    drawing.correct.delete([gone])
    assert not server.fake.segmented
    drawing.view.show_outlines(True)
    assert mask_of(drawing, uid) == square(30.5, 20.5)
    assert [len(request.prompts) for request in server.fake.segmented] == [1]


def test_a_server_that_is_away_is_asked_when_it_is_back_and_nobody_is_bothered(
    drawing: ReviewController, server: FakeServer
) -> None:
    server.fake.down = True
    uid = drawing.correct.add(30.5, 20.5)
    assert mask_of(drawing, uid) is None
    assert drawing.model.notice is None
    drawing.find.restart()
    assert mask_of(drawing, uid) == square(30.5, 20.5)


def test_a_refusal_leaves_the_nucleus_without_outline_and_is_not_asked_again(
    drawing: ReviewController, server: FakeServer
) -> None:
    def refuse(clicks: object) -> None:
        raise RequestRejectedError("There is no segmenter.")

    server.fake.outline = refuse
    uid = drawing.correct.add(30.5, 20.5)
    server.fake.outline = around_the_first
    drawing.find.connect()
    assert mask_of(drawing, uid) is None
    assert drawing.model.notice is None


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def slow(
    tmp_path: Path, server: FakeServer, later: Later, tile_path: Callable[[str], Path]
) -> Iterator[ReviewController]:
    """A review whose outlines come when `later` catches up."""
    made = review_on(tmp_path, server, later)
    server.fake.outline = around_the_first
    made.find.connect()
    made.open.paths([tile_path("a.png")])
    later.catch_up()
    yield made
    made.close()


def test_an_outline_that_comes_late_takes_nothing_away(
    slow: ReviewController, later: Later
) -> None:
    first = slow.correct.add(30.5, 20.5)
    second = slow.correct.add(60.5, 20.5)
    slow.history.undo()
    later.catch_up()
    assert mask_of(slow, first) == square(30.5, 20.5)
    assert slow.model.can_redo  # the second can still come back
    slow.history.redo()
    assert slow.model.state is not None
    assert second in slow.model.state.nuclei
    slow.history.undo()
    slow.history.undo()
    assert not slow.model.state.nuclei


def test_an_outline_of_where_a_nucleus_was_is_dropped(slow: ReviewController, later: Later) -> None:
    uid = slow.correct.add(30.5, 20.5)
    slow.correct.move({uid: (60.5, 20.5)})
    later.catch_up()
    assert mask_of(slow, uid) == square(60.5, 20.5)


# Where people click


@pytest.fixture
def nucleus(drawing: ReviewController) -> UUID:
    uid = drawing.correct.add(30.5, 20.5)
    drawing.view.select([uid])
    return uid


def test_clicks_add_up_and_each_is_a_step_of_its_own(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    drawing.outline.click(34.5, 20.5, inside=True)
    drawing.outline.click(35.5, 21.5, inside=True)
    drawing.outline.click(24.5, 20.5, inside=False)
    asked = [(c.x, c.y, c.positive) for c in server.fake.segmented[-1].prompts[0].points]
    assert asked == [
        (30.5, 20.5, True),
        (34.5, 20.5, True),
        (35.5, 21.5, True),
        (24.5, 20.5, False),
    ]
    assert mask_of(drawing, nucleus) == saved_mask_of(drawing, nucleus)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 10)
    drawing.history.undo()
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 12)
    assert drawing.model.undo_steps == 3


def test_a_click_that_was_undone_is_forgotten(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    drawing.outline.click(34.5, 20.5, inside=True)
    drawing.outline.click(35.5, 21.5, inside=True)
    drawing.history.undo()
    drawing.outline.click(24.5, 20.5, inside=True)
    asked = [(c.x, c.y) for c in server.fake.segmented[-1].prompts[0].points]
    assert asked == [(30.5, 20.5), (34.5, 20.5), (24.5, 20.5)]


def test_a_click_on_another_nucleus_selects_it_and_shift_never_does(
    drawing: ReviewController, nucleus: UUID
) -> None:
    other = drawing.correct.add(50.5, 20.5)
    drawing.outline.click(26.5, 20.5, inside=False)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 6)
    drawing.outline.click(50.5, 20.5, inside=False)
    assert drawing.view.model.selected == {nucleus}
    drawing.outline.click(53.5, 22.5, inside=True)  # on its outline, off its point
    assert drawing.view.model.selected == {other}
    assert mask_of(drawing, other) == square(50.5, 20.5)


def test_without_a_nucleus_the_click_says_what_to_do(drawing: ReviewController) -> None:
    drawing.outline.click(10.5, 10.5, inside=True)
    assert drawing.model.notice is not None
    assert "Click on a nucleus first" in drawing.model.notice.words


def test_a_click_that_the_model_does_not_follow_changes_nothing_and_says_so(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    for answer in (None, square(30.5, 20.5)):
        server.fake.outline = lambda clicks, answer=answer: answer
        drawing.model.notice = None
        drawing.outline.click(28.5, 20.5, inside=False)
        assert mask_of(drawing, nucleus) == square(30.5, 20.5)
        assert drawing.model.notice is not None
        assert "does not follow" in drawing.model.notice.words
    assert drawing.model.undo_steps == 1


def test_a_server_that_is_away_is_told_and_the_next_click_is_drawn(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    server.fake.down = True
    drawing.outline.click(35.5, 20.5, inside=True)
    assert drawing.model.notice is not None
    assert "no model server" in drawing.model.notice.words
    server.fake.down = False
    drawing.outline.click(34.5, 20.5, inside=True)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 10)


def test_clicks_faster_than_the_server_are_answered_once_all_together(
    slow: ReviewController, later: Later, server: FakeServer
) -> None:
    uid = slow.correct.add(30.5, 20.5)
    later.catch_up()
    slow.view.select([uid])
    for x in (26.5, 27.5, 28.5):
        slow.outline.click(x, 20.5, inside=False)
    later.catch_up()
    assert mask_of(slow, uid) == square(30.5, 20.5, 2)
    assert slow.model.undo_steps == 2


def test_the_outline_of_a_prediction_can_be_corrected_and_counts_as_a_correction(
    drawing: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((40.5, 30.5)), done(1)]
    drawing.find.search(Box(0, 0, 80, 64))
    assert drawing.model.state is not None
    (uid,) = drawing.model.state.nuclei
    drawing.outline.click(40.5, 30.5, inside=True)  # selects it: near its point
    drawing.outline.click(41.5, 30.5, inside=True)
    assert mask_of(drawing, uid) == square(40.5, 30.5, 10)
    assert drawing.model.state.nuclei[uid].touched


def test_the_server_is_told_the_outline_that_a_click_corrects(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    placed = server.fake.segmented[-1].prompts[0]
    assert placed.outline is None
    before = mask_of(drawing, nucleus)
    drawing.outline.click(34.5, 20.5, inside=True)
    told = server.fake.segmented[-1].prompts[0].outline
    assert told is not None
    assert told.to_mask() == before != mask_of(drawing, nucleus)
