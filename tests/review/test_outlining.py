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
    field = controller.model.open_field
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
    uid = drawing.add_nucleus(30.5, 20.5)
    assert mask_of(drawing, uid) == saved_mask_of(drawing, uid) == square(30.5, 20.5)
    assert drawing.model.undo_steps == 1
    drawing.undo()
    assert drawing.model.state is not None
    assert uid not in drawing.model.state.nuclei
    drawing.redo()
    assert mask_of(drawing, uid) == saved_mask_of(drawing, uid) == square(30.5, 20.5)


def test_a_nucleus_moved_off_its_outline_gets_another_and_undo_brings_back_the_first(
    drawing: ReviewController,
) -> None:
    uid = drawing.add_nucleus(30.5, 20.5)
    drawing.move_nuclei({uid: (32.5, 20.5)})
    assert mask_of(drawing, uid) == square(30.5, 20.5)  # still on it
    drawing.move_nuclei({uid: (50.5, 40.5)})
    assert mask_of(drawing, uid) == square(50.5, 40.5)
    assert drawing.model.undo_steps == 3
    drawing.undo()
    assert mask_of(drawing, uid) == square(30.5, 20.5)


def test_nuclei_moved_together_are_asked_for_together(
    drawing: ReviewController, server: FakeServer
) -> None:
    uids = [drawing.add_nucleus(x, 20.5) for x in (10.5, 30.5)]
    drawing.move_nuclei({uids[0]: (10.5, 50.5), uids[1]: (30.5, 50.5)})
    assert [len(request.prompts) for request in server.fake.segmented] == [1, 1, 2]
    assert [mask_of(drawing, uid) for uid in uids] == [square(10.5, 50.5), square(30.5, 50.5)]


def test_other_gestures_ask_for_nothing(drawing: ReviewController, server: FakeServer) -> None:
    uid = drawing.add_nucleus(30.5, 20.5)
    drawing.relabel_nuclei([uid], "Nucleus")
    drawing.comment("a nucleus")
    drawing.delete_nuclei([uid])
    assert len(server.fake.segmented) == 1


def test_without_outlines_none_is_asked_for_until_they_are_wanted(
    drawing: ReviewController, server: FakeServer
) -> None:
    drawing.set_outlines(False)
    uid = drawing.add_nucleus(30.5, 20.5)
    gone = drawing.add_nucleus(60.5, 20.5)
    drawing.delete_nuclei([gone])
    assert not server.fake.segmented
    drawing.set_outlines(True)
    assert mask_of(drawing, uid) == square(30.5, 20.5)
    assert [len(request.prompts) for request in server.fake.segmented] == [1]


def test_a_server_that_is_away_is_asked_when_it_is_back_and_nobody_is_bothered(
    drawing: ReviewController, server: FakeServer
) -> None:
    server.fake.down = True
    uid = drawing.add_nucleus(30.5, 20.5)
    assert mask_of(drawing, uid) is None
    assert drawing.model.notice is None
    drawing.finder.restart()
    assert mask_of(drawing, uid) == square(30.5, 20.5)


def test_a_refusal_leaves_the_nucleus_without_outline_and_is_not_asked_again(
    drawing: ReviewController, server: FakeServer
) -> None:
    def refuse(clicks: object) -> None:
        raise RequestRejectedError("There is no segmenter.")

    server.fake.outline = refuse
    uid = drawing.add_nucleus(30.5, 20.5)
    server.fake.outline = around_the_first
    drawing.finder.connect()
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
    made.finder.connect()
    made.open_paths([tile_path("a.png")])
    later.catch_up()
    yield made
    made.close()


def test_an_outline_that_comes_late_takes_nothing_away(
    slow: ReviewController, later: Later
) -> None:
    first = slow.add_nucleus(30.5, 20.5)
    second = slow.add_nucleus(60.5, 20.5)
    slow.undo()
    later.catch_up()
    assert mask_of(slow, first) == square(30.5, 20.5)
    assert slow.model.can_redo  # the second can still come back
    slow.redo()
    assert slow.model.state is not None
    assert second in slow.model.state.nuclei
    slow.undo()
    slow.undo()
    assert not slow.model.state.nuclei


def test_an_outline_of_where_a_nucleus_was_is_dropped(slow: ReviewController, later: Later) -> None:
    uid = slow.add_nucleus(30.5, 20.5)
    slow.move_nuclei({uid: (60.5, 20.5)})
    later.catch_up()
    assert mask_of(slow, uid) == square(60.5, 20.5)


# Where people click


@pytest.fixture
def nucleus(drawing: ReviewController) -> UUID:
    uid = drawing.add_nucleus(30.5, 20.5)
    drawing.select([uid])
    return uid


def test_clicks_add_up_and_each_is_a_step_of_its_own(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    drawing.correct_outline(34.5, 20.5, inside=True)
    drawing.correct_outline(35.5, 21.5, inside=True)
    drawing.correct_outline(24.5, 20.5, inside=False)
    asked = [(c.x, c.y, c.positive) for c in server.fake.segmented[-1].prompts[0].points]
    assert asked == [
        (30.5, 20.5, True),
        (34.5, 20.5, True),
        (35.5, 21.5, True),
        (24.5, 20.5, False),
    ]
    assert mask_of(drawing, nucleus) == saved_mask_of(drawing, nucleus)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 10)
    drawing.undo()
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 12)
    assert drawing.model.undo_steps == 3


def test_a_click_that_was_undone_is_forgotten(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    drawing.correct_outline(34.5, 20.5, inside=True)
    drawing.correct_outline(35.5, 21.5, inside=True)
    drawing.undo()
    drawing.correct_outline(24.5, 20.5, inside=True)
    asked = [(c.x, c.y) for c in server.fake.segmented[-1].prompts[0].points]
    assert asked == [(30.5, 20.5), (34.5, 20.5), (24.5, 20.5)]


def test_a_click_on_another_nucleus_selects_it_and_shift_never_does(
    drawing: ReviewController, nucleus: UUID
) -> None:
    other = drawing.add_nucleus(50.5, 20.5)
    drawing.correct_outline(26.5, 20.5, inside=False)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 6)
    drawing.correct_outline(50.5, 20.5, inside=False)
    assert drawing.model.selected == {nucleus}
    drawing.correct_outline(53.5, 22.5, inside=True)  # on its outline, off its point
    assert drawing.model.selected == {other}
    assert mask_of(drawing, other) == square(50.5, 20.5)


def test_without_a_nucleus_the_click_says_what_to_do(drawing: ReviewController) -> None:
    drawing.correct_outline(10.5, 10.5, inside=True)
    assert drawing.model.notice is not None
    assert "Click on a nucleus first" in drawing.model.notice.words


def test_a_click_that_the_model_does_not_follow_changes_nothing_and_says_so(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    for answer in (None, square(30.5, 20.5)):
        server.fake.outline = lambda clicks, answer=answer: answer
        drawing.model.notice = None
        drawing.correct_outline(28.5, 20.5, inside=False)
        assert mask_of(drawing, nucleus) == square(30.5, 20.5)
        assert drawing.model.notice is not None
        assert "does not follow" in drawing.model.notice.words
    assert drawing.model.undo_steps == 1


def test_a_server_that_is_away_is_told_and_the_next_click_is_drawn(
    drawing: ReviewController, server: FakeServer, nucleus: UUID
) -> None:
    server.fake.down = True
    drawing.correct_outline(35.5, 20.5, inside=True)
    assert drawing.model.notice is not None
    assert "no model server" in drawing.model.notice.words
    server.fake.down = False
    drawing.correct_outline(34.5, 20.5, inside=True)
    assert mask_of(drawing, nucleus) == square(30.5, 20.5, 10)


def test_clicks_faster_than_the_server_are_answered_once_all_together(
    slow: ReviewController, later: Later, server: FakeServer
) -> None:
    uid = slow.add_nucleus(30.5, 20.5)
    later.catch_up()
    slow.select([uid])
    for x in (26.5, 27.5, 28.5):
        slow.correct_outline(x, 20.5, inside=False)
    later.catch_up()
    assert mask_of(slow, uid) == square(30.5, 20.5, 2)
    assert slow.model.undo_steps == 2


def test_the_outline_of_a_prediction_can_be_corrected_and_counts_as_a_correction(
    drawing: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((40.5, 30.5)), done(1)]
    drawing.find_nuclei(Box(0, 0, 80, 64))
    assert drawing.model.state is not None
    (uid,) = drawing.model.state.nuclei
    drawing.correct_outline(40.5, 30.5, inside=True)  # selects it: near its point
    drawing.correct_outline(41.5, 30.5, inside=True)
    assert mask_of(drawing, uid) == square(40.5, 30.5, 10)
    assert drawing.model.state.nuclei[uid].touched
