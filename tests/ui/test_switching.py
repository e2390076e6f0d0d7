"""Another project in the same window and dock: by the notice's button, and back again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_nunext.store import Project
from napari_nunext.ui import app as app_module
from napari_nunext.ui.napari_versions import canvas_widget_of
from tests.review.fakes import FakeServer, done, points, review_on, started
from tests.ui.conftest import SIDE_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.ui.app import App

    Spin = Callable[..., None]


@pytest.fixture
def two(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Two folders of two tiles, each with a project."""
    folders = tmp_path / "A", tmp_path / "B"
    for folder in folders:
        folder.mkdir()
        for i in range(2):
            rgb = rng.integers(120, 255, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(folder / f"{folder.name}-{i}.png")
        made = review_on(folder, FakeServer())
        made.open.paths([folder])
        made.images.next()
        made.close()
    return folders


@pytest.fixture
def window(two: tuple[Path, Path], server: FakeServer, spin: Spin) -> Iterator[App]:
    """The window with folder A open."""
    made = app_module.main([two[0]], block=False, server=server)
    spin(lambda: made.controller.images.model.open_field and made.controller.find.model.models)
    yield made
    made.close()


def press(app: App, spin: Spin, label: str) -> None:
    """Press the notice's button, once it is there."""
    notice = app.dock.notice
    spin(lambda: notice.isVisible() and notice._act.text() == label)
    notice._act.click()


def switch(app: App, spin: Spin, folder: Path) -> None:
    """Open the folder, say yes, and wait until its first image is shown."""
    app.dock.choose.open([folder])
    press(app, spin, "Open its project")
    model = app.controller.model
    images = app.controller.images.model
    spin(lambda: model.project == folder / "review.nunext" and images.open_field is not None)
    app.dock.canvas.flush()


def test_another_project_in_the_same_window_leaves_nothing_of_the_first_in_sight(
    window: App, two: tuple[Path, Path], server: FakeServer, spin: Spin
) -> None:
    a, b = two
    app, model, dock = window, window.controller.model, window.dock
    server.fake.script = [started(), points((30, 30), (60, 60)), done(2)]
    app.controller.find.search()
    spin(lambda: not app.controller.find.model.run.busy)
    mine = app.controller.correct.add(90, 90)
    dock.canvas.draw_region()
    dock.review.ask_comment()
    dock.review._comment.setText("half typed about A")
    frames = [layer.name for layer in app.viewer.layers]
    assert "Region" in frames

    switch(app, spin, b)
    assert app.dock is dock
    assert dock.header._project.text() == "B/review.nunext"
    assert [layer.name for layer in app.viewer.layers] == ["B-0.png", "Outlines", "Nuclei"]
    assert len(dock.canvas.nuclei.layer.data) == 0
    assert dock.review._comment.text() == ""
    assert dock.status._steps.text() == ""
    assert "B-0" in dock.header._name.text()
    yours = app.controller.correct.add(50, 50)

    switch(app, spin, a)
    assert set(model.state.nuclei) >= {mine}
    assert len(model.state.nuclei) == 3
    assert len(dock.canvas.nuclei.layer.data) == 3
    assert dock.review._comment.text() == "half typed about A"
    app.controller.history.undo()
    assert mine not in model.state.nuclei

    assert (server.restarts, server.stopped) == (0, False)
    assert app.close()
    for folder, uids in ((a, {mine}), (b, {yours})):
        with Project.open(folder / "review.nunext", annotator="r", mode="r") as project:
            project.verify()
            entries = project.images()
            assert {entry.name[0] for entry in entries} == {folder.name}
            journal = [event for e in entries for event in project.journal(e.sha256)]
            assert {event.uid for event in journal if event.kind == "add"} == uids


def test_keys_work_on_the_layers_of_the_other_project(
    window: App, two: tuple[Path, Path], spin: Spin
) -> None:
    app = window
    switch(app, spin, two[1])
    canvas = app.dock.canvas
    QTest.keyClick(canvas_widget_of(app.dock.window()), Qt.Key.Key_F)
    assert app.controller.model.state.flagged
    app.dock.canvas.draw_region()
    layers = canvas.layers()
    app.viewer.layers.clear()  # what napari's tools do to the new layers is taken back, too
    canvas.flush()
    assert list(app.viewer.layers) == [layer for layer in layers if layer.name != "Region"]


def test_a_project_can_be_chosen_and_its_moved_images_too(
    window: App, two: tuple[Path, Path], spin: Spin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, b = two
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in b.glob("*.png"):
        path.rename(moved / path.name)
    dialogs = "napari_nunext.ui.widgets.asking.QFileDialog"
    monkeypatch.setattr(f"{dialogs}.getOpenFileName", lambda *_: (str(b / "review.nunext"), ""))
    monkeypatch.setattr(f"{dialogs}.getExistingDirectory", lambda *_: str(moved))
    names = [action.text() for action in window.dock.header.menu.actions()]
    assert "Open another project\N{HORIZONTAL ELLIPSIS}" in names
    window.dock.choose.project()
    model = window.controller.model
    images = window.controller.images.model
    spin(lambda: model.project == b / "review.nunext" and model.notice is not None)
    assert images.open_field is None
    assert not list(window.viewer.layers)
    press(window, spin, "Choose their folder\N{HORIZONTAL ELLIPSIS}")
    spin(lambda: images.open_field is not None)
    assert "Looked for 2 images: 2 found." in model.notice.words
