"""The same through the real client and a real server, with a chat server behind it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.answers.answerer import USUAL_ANSWER, AnswererAddress
from napari_nunext.core.answers.prompts import Question
from napari_nunext.review.finding.servers import SharedServer
from napari_nunext.review.shown.ask import Way
from napari_nunext.store import Project
from tests.answering import MODEL, chat_server, deltas
from tests.review.fakes import review_on
from tests.serving.conftest import TOKEN, catalog, start  # noqa: F401  fixtures
from tests.waiting import pause, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from tests.answering import FakeChat
    from tests.serving.conftest import Serving

NECROSIS = Question("question", "Is there necrosis?", ("yes", "no"))
BEGUN = "<think>pale</think><answer>yes [[2, 4, 30, 40]]"


class Window:
    """A review with threads, and a main thread that turns when the test waits."""

    def __init__(self, folder: Path, server: SharedServer) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.controller: ReviewController = review_on(
            folder, server, ThreadPoolExecutor(4), on_main=self._calls.put, writer_executor=None
        )
        self.model = self.controller.model
        self.ask = self.controller.ask

    def turn(self) -> None:
        try:
            while True:
                self._calls.get_nowait()()
        except Empty:
            pause()

    def until(self, condition: Callable[[], object]) -> None:
        wait_for(condition, meanwhile=self.turn)


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    with chat_server() as chat:
        yield chat


@pytest.fixture
def window(
    chat: FakeChat,
    start: Callable[..., Serving],  # noqa: F811
    tmp_path: Path,
    tile_path: Callable[[str], Path],
) -> Iterator[Window]:
    """With a tile open, and the model `vlm` to be asked; it has begun to write and waits."""
    serving = start(answerers=(AnswererAddress("vlm", chat.url, MODEL),))
    window = Window(tmp_path, SharedServer(serving.url, TOKEN))
    window.controller.open.paths([tile_path("a.png")])
    window.ask.answerers.look_once()
    window.until(
        lambda: window.controller.images.model.open_field and window.ask.model.answerer_named("vlm")
    )
    chat.deltas = deltas(BEGUN, "</answer>")
    chat.go_on.clear()
    window.ask.ask(NECROSIS, Way("vlm", 16))
    window.until(lambda: window.ask.model.draft and window.ask.model.boxes)
    yield window
    chat.go_on.set()
    window.controller.close()


def test_boxes_light_up_before_the_answer_is_over(window: Window, chat: FakeChat) -> None:
    drawn = window.ask.model.boxes
    assert window.ask.model.draft.answer == "yes [[2, 4, 30, 40]]"
    chat.go_on.set()
    window.until(lambda: not window.ask.model.status.busy)
    (shown,) = window.ask.model.answers
    assert shown.boxes == drawn
    assert shown.answer.said.finish == "stop"
    assert shown.answer.asked.image_tokens <= 16
    assert shown.answer.asked.max_tokens == USUAL_ANSWER
    width, height = shown.answer.asked.sent_px
    assert chat.picture().shape == (height, width, 3)


def test_stopped_it_keeps_what_came_and_the_chat_server_is_left_alone(
    window: Window, chat: FakeChat
) -> None:
    window.ask.stop()
    assert window.ask.model.status.phase == "stopping"
    window.until(lambda: not window.ask.model.status.busy)
    (shown,) = window.ask.model.answers
    assert shown.answer.said.finish == "cancelled"
    assert len(shown.boxes) == 1
    assert chat.hung_up.wait(60)


def test_a_chat_server_that_breaks_off_leaves_what_it_said(window: Window, chat: FakeChat) -> None:
    chat.breaks = True
    chat.go_on.set()
    window.until(lambda: not window.ask.model.status.busy)
    (shown,) = window.ask.model.answers
    assert shown.answer.said.finish == "broken"
    assert "broke off" in shown.answer.said.notes[0]


def test_closed_while_it_is_written_the_window_keeps_what_came(
    window: Window, tmp_path: Path
) -> None:
    assert window.controller.close()
    with Project.open(tmp_path / "review.nunext", annotator="ab") as reopened:
        (answer,) = reopened.answers()
    assert (answer.said.finish, answer.said.answer) == ("cancelled", "yes [[2, 4, 30, 40]]")


def test_a_server_of_somebody_else_is_given_no_answerers(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: FakeChat
) -> None:
    monkeypatch.setenv("NAPARI_NUNEXT_HOME", str(tmp_path / "home"))
    chat.go_on.set()
    window.until(lambda: not window.ask.model.status.busy)
    window.ask.answerers.add("qwen=http://127.0.0.1:1/v1#m")
    window.until(lambda: window.model.notice)
    assert "napari-nunext serve --answerer" in window.model.notice.words
    assert not (tmp_path / "home").exists()
