"""Undo and redo through the whole project, also where an image of it cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from napari_nunext.review.history import History
from napari_nunext.store import events
from tests.review.fakes import FakeServer, review_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def reviewed(tmp_path: Path, tile_path: Callable[[str], Path]) -> list[Path]:
    """Three images, a nucleus placed in each, in this order, in a session that has ended."""
    paths = [tile_path(name) for name in NAMES]
    controller = review_on(tmp_path, FakeServer())
    controller.open.paths(paths)
    for _ in paths:
        controller.correct.add(20, 20)
        controller.images.next()
    controller.close()
    return paths


@pytest.fixture
def again(tmp_path: Path, server: FakeServer) -> Iterator[ReviewController]:
    controller = review_on(tmp_path, server)
    yield controller
    controller.close()


def spoil(path: Path) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    return whole


def left(controller: ReviewController) -> dict[str, int]:
    """How many nuclei each image has, on the disk."""
    project = controller.session.project
    return {e.name: len(project.state(e.sha256).nuclei) for e in project.images()}


def test_an_unreadable_image_in_the_middle_is_said_and_passed_and_keeps_its_place(
    reviewed: list[Path], again: ReviewController
) -> None:
    whole = spoil(reviewed[1])
    again.open.paths(reviewed)
    again.history.undo()
    assert left(again) == {"a.png": 1, "b.png": 1, "c.png": 0}
    again.history.undo()
    words = again.model.notice.words
    assert "b.png" in words
    assert "Undo again passes that image" in words
    assert left(again) == {"a.png": 1, "b.png": 1, "c.png": 0}
    again.history.undo()
    assert left(again) == {"a.png": 0, "b.png": 1, "c.png": 0}
    assert (again.model.undo_steps, again.model.can_redo) == (0, True)
    reviewed[1].write_bytes(whole)
    again.images.go_to(1)
    again.history.undo()
    assert left(again) == {"a.png": 0, "b.png": 0, "c.png": 0}
    for expected in ("b.png", "a.png", "c.png"):  # as they were taken back, the last first
        again.history.redo()
        assert again.images.model.open_field.entry.name == expected
    assert left(again) == {"a.png": 1, "b.png": 1, "c.png": 1}


def test_undo_has_the_last_word_whatever_else_is_read_while_it_waits(
    reviewed: list[Path], tmp_path: Path, server: FakeServer
) -> None:
    spoil(reviewed[2])
    posted: list[Callable[[], None]] = []
    controller = review_on(tmp_path, server, on_main=posted.append)

    def settle() -> None:
        while posted:
            posted.pop(0)()

    controller.open.paths(reviewed)
    settle()
    controller.history.undo()
    controller.images.read.emit()  # as when an image that was asked for before is there now
    settle()
    assert "Undo again passes that image" in controller.model.notice.words
    controller.close()


def test_the_order_stays_when_two_images_in_a_row_cannot_be_read(
    reviewed: list[Path], again: ReviewController
) -> None:
    wholes = [spoil(path) for path in reviewed[1:]]
    again.open.paths(reviewed)
    again.history.undo()
    again.history.undo()
    assert left(again) == {"a.png": 1, "b.png": 1, "c.png": 1}
    for index, whole in enumerate(wholes, start=1):
        reviewed[index].write_bytes(whole)
        again.images.go_to(index)
    for name in ("c.png", "b.png", "a.png"):
        again.history.undo()
        assert again.images.model.open_field.entry.name == name
    assert left(again) == {"a.png": 0, "b.png": 0, "c.png": 0}


def test_an_image_that_is_another_one_now_is_said_and_passed(
    reviewed: list[Path], again: ReviewController, rng: np.random.Generator
) -> None:
    again.open.paths(reviewed)
    again.history.undo()
    Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(reviewed[1])
    again.history.undo()
    words = again.model.notice.words
    assert "b.png is no longer the image that was reviewed" in words
    again.history.undo()
    project = again.session.project
    assert [len(project.state(e.sha256).nuclei) for e in project.images()] == [0, 1, 0, 0]


def test_a_step_that_was_given_back_stands_where_it_stood(rng: np.random.Generator) -> None:
    """Against a plain list, over random lines in which some images cannot be reached."""
    for _ in range(300):
        line = [(uuid4(), str(rng.integers(3))) for _ in range(int(rng.integers(1, 7)))]
        history = History(("add", image, group) for group, image in line)
        back = int(rng.integers(len(line)))
        for group, image in line[back:][::-1]:
            history.take(events.undo(image, group))
        reachable = {str(i) for i in range(3) if rng.random() < 0.6}
        for make, following in ((events.undo, history.next_undo), (events.redo, history.next_redo)):
            step = following(reachable)
            if step is not None:
                before = list(history._done), list(history._undone)
                event = make(step[1], step[0])
                history.take(event)
                history.give_back(event)
                assert (list(history._done), list(history._undone)) == before


def test_what_undo_takes_back_is_said_in_words(
    reviewed: list[Path], again: ReviewController
) -> None:
    again.open.paths(reviewed)
    assert again.model.undo_words == "placed a nucleus"
    again.correct.flag()
    assert again.model.undo_words == "changed the flag of the image"
    for _ in range(1 + len(reviewed)):
        again.history.undo()
    assert again.model.undo_words == ""
