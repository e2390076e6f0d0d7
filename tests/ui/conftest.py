"""The real window on a fake model server, and a check that nothing of it is left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtCore import QEvent

from napari_nunext.ui import app as app_module
from napari_nunext.ui.canvas.canvas import Canvas
from tests.review.fakes import FakeServer, review_on
from tests.waiting import pause, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qtpy.QtWidgets import QApplication

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.app import App

SIDE_PX = 200


@pytest.fixture(autouse=True)
def no_widget_leaks(qapp: QApplication) -> Iterator[None]:
    """Fail a test that leaves top-level widgets behind, or a window of anybody's on the screen.

    A widget that outlives its test is usually held by a signal that was connected and never let go.
    """
    before = set(map(id, qapp.topLevelWidgets()))
    yield

    def left() -> list[str]:
        widgets = [w for w in qapp.topLevelWidgets() if id(w) not in before and is_ours(w)]
        return [type(w).__name__ for w in widgets]

    def delete() -> None:
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        qapp.processEvents()

    wait_for(lambda: not left(), meanwhile=delete, otherwise=left)
    # Whatever draws or notifies later would do it in this test's window.
    shown = [w for w in qapp.topLevelWidgets() if w.isVisible()]
    for window in shown:
        window.close()
    assert [type(window).__name__ for window in shown] == []


def is_ours(widget: object) -> bool:
    return type(widget).__module__.startswith("napari_nunext")


@pytest.fixture
def spin(qapp: QApplication) -> Callable[..., None]:
    """Let the event loop turn until something holds; fail when it does not in time."""

    def turn(until: Callable[[], object]) -> None:
        wait_for(until, meanwhile=lambda: (qapp.processEvents(), pause()))

    return turn


@pytest.fixture
def tile(tmp_path: Path, rng: np.random.Generator) -> Callable[[str], Path]:
    """Write a square tile and return its path."""

    def make(name: str) -> Path:
        path = tmp_path / name
        rgb = rng.integers(120, 255, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(path)
        return path

    return make


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def empty_app(
    qapp: QApplication, tmp_path: Path, server: FakeServer, spin: Callable[..., None]
) -> Iterator[App]:
    """The window before anything is open."""
    made = app_module.main(project=tmp_path / "review.nunext", block=False, server=server)
    spin(lambda: made.controller.find.model.server.phase == "ready")
    yield made
    made.close()


@dataclass
class QuickApp:
    """The canvas alone: no window, no threads, everything at once."""

    viewer: ViewerModel
    controller: ReviewController
    canvas: Canvas


@pytest.fixture
def quick_app(
    qapp: QApplication, tmp_path: Path, server: FakeServer, tile: Callable[[str], Path]
) -> Iterator[QuickApp]:
    """A canvas with one tile open."""
    viewer = ViewerModel()
    controller = review_on(tmp_path, server)
    canvas = Canvas(viewer, controller)
    controller.find.connect()
    controller.open.paths([tile("tile.png")])
    yield QuickApp(viewer, controller, canvas)
    canvas.disconnect()
    controller.close()


@pytest.fixture
def app(empty_app: App, tile: Callable[[str], Path], spin: Callable[..., None]) -> App:
    """The window with one tile open."""
    empty_app.controller.open.paths([tile("tile one.png")])
    spin(lambda: empty_app.controller.images.model.open_field)
    return empty_app
