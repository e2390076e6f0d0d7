from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from napari_nunext import places
from napari_nunext.core.errors import StorageError
from napari_nunext.images import nuclei_files
from napari_nunext.images.formats import image_suffixes
from napari_nunext.review.model import SaveStatus
from napari_nunext.store import Project
from napari_nunext.store.exports.formats import export_formats
from napari_nunext.ui import samples
from napari_nunext.ui.dock import IMPROVE, WIDTH_PX
from napari_nunext.ui.panels.find_panel import REGION
from napari_nunext.ui.shortcuts_sheet import ShortcutsSheet
from napari_nunext.ui.widgets import asking
from napari_nunext.ui.widgets.controls import StatusDot, Text
from tests.review.fakes import done, points, started, window_done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.store import Event
    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

Spin = "Callable[..., None]"

OF_AN_EXTRA = {"anndata": "h5py", "labels-zarr": "zarr", "parquet": "pyarrow"}
"""What writes a format, where that is not always installed."""


def canvas_widget(app: App) -> QWidget:
    """The widget that draws the canvas and takes its keys."""
    return next(
        w
        for w in app.dock.window().findChildren(QWidget)
        if type(w).__name__ == "CanvasBackendDesktop"
    )


def press(app: App, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.NoModifier) -> None:
    QTest.keyClick(canvas_widget(app), key, modifier)
    QApplication.processEvents()


def count(app: App) -> int:
    state = app.controller.model.state
    return 0 if state is None else len(state.nuclei)


def search(app: App, server: FakeServer, spin: Spin) -> None:
    server.fake.script = [
        started(windows=1),
        points((20.5, 30.5), (60.5, 40.5), (100.5, 90.5)),
        points((150.5, 20.5), (160.5, 120.5), first=3, confidence=0.2),
        window_done(1, 1),
        done(5),
    ]
    app.dock.review.finder.search()
    spin(lambda: app.controller.find.model.run.phase == "idle" and count(app) == 5)


def test_a_later_word_about_saving_needs_no_more_room_than_the_line_has(app: App) -> None:
    """Qt makes room for longer words only later: until then *Saved 18:44:12* read *Saved 18*."""
    label = app.dock.status.findChild(StatusDot).findChild(Text)
    app.dock.status._pacer.stop()
    at = datetime(2026, 11, 28, 18, 44, 12).astimezone()
    for status in (SaveStatus("saving"), SaveStatus("saved", at)):
        app.controller.model.save = status
        app.dock.status._show_save()
        assert label.shown_text() == label.text()
        for _ in range(5):  # as deep as it lies
            QApplication.processEvents()
    assert label.text() == "Saved 18:44:12"


def test_before_anything_is_open_the_dock_says_what_to_do(
    empty_app: App, spin: Spin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SKIN_URL", "http://127.0.0.1:1/tile.jpg")
    monkeypatch.setattr(samples, "SYNTHETIC_SIDE_PX", 96)
    dock = empty_app.dock
    assert dock.empty.isVisible()
    assert not dock.tabs.isVisible()
    dock.empty.sample_wanted.emit()
    spin(lambda: empty_app.controller.images.model.open_field)
    assert dock.tabs.isVisible()
    assert not dock.empty.isVisible()
    assert empty_app.viewer.layers[samples.synthetic_path().name].data.shape == (96, 96, 3)
    assert "drawn, not real" in empty_app.controller.model.notice.words
    project = empty_app.controller.session.project
    assert project.path.name == "review.nunext"


def test_the_loop_in_the_window_find_correct_accept_reopen(
    app: App, server: FakeServer, spin: Spin, tmp_path: Path
) -> None:
    search(app, server, spin)
    dock = app.dock
    assert dock.review.categories.counts() == {"Lymphocyte": "5", "Stromal": "0"}
    spin(lambda: dock.review.figures.text().startswith("5 nuclei, "))
    press(app, Qt.Key_Tab)
    assert len(app.controller.view.model.selected) == 1
    first = app.controller.view.model.selected
    press(app, Qt.Key_Tab)
    assert app.controller.view.model.selected != first
    press(app, Qt.Key_Tab, Qt.ShiftModifier)
    assert app.controller.view.model.selected == first
    press(app, Qt.Key_2)
    assert dock.review.categories.counts() == {"Lymphocyte": "4", "Stromal": "1"}
    press(app, Qt.Key_D)
    assert count(app) == 4
    press(app, Qt.Key_Z, Qt.ControlModifier)
    assert count(app) == 5
    press(app, Qt.Key_Z, Qt.ControlModifier | Qt.ShiftModifier)
    assert count(app) == 4
    press(app, Qt.Key_F)
    assert app.controller.model.state.flagged
    press(app, Qt.Key_F)
    press(app, Qt.Key_Return)
    assert app.controller.model.state.complete
    spin(lambda: dock.status.words().startswith("Saved"))
    sha256 = app.controller.images.model.open_field.entry.sha256
    before = app.controller.model.state
    assert app.close()
    with Project.open(tmp_path / "review.nunext", annotator="someone else") as project:
        assert project.state(sha256) == before
        project.verify()


def test_a_click_on_the_canvas_adds_a_nucleus_under_the_mouse(app: App, spin: Spin) -> None:
    press(app, Qt.Key_A)
    assert app.controller.view.model.tool == "add"
    widget = canvas_widget(app)
    middle = QPoint(widget.width() // 2, widget.height() // 2)
    QTest.mouseMove(widget, middle)
    QTest.mouseClick(widget, Qt.LeftButton, Qt.NoModifier, middle)
    spin(lambda: count(app) == 1)
    (added,) = app.controller.model.state.nuclei.values()
    # The camera centres the image: its middle is in the middle of the canvas.
    assert added.nucleus.x_px == pytest.approx(100, abs=1)
    assert added.nucleus.y_px == pytest.approx(100, abs=1)
    press(app, Qt.Key_Escape)
    assert app.controller.view.model.tool == "look"


def test_holding_space_shows_the_tissue_alone(app: App, server: FakeServer, spin: Spin) -> None:
    search(app, server, spin)
    widget = canvas_widget(app)
    QTest.keyPress(widget, Qt.Key_Space)
    QApplication.processEvents()
    assert not app.viewer.layers["Nuclei"].visible
    assert not app.viewer.layers["Outlines"].visible
    QTest.keyRelease(widget, Qt.Key_Space)
    spin(lambda: app.viewer.layers["Nuclei"].visible)
    assert app.viewer.layers["Outlines"].visible
    press(app, Qt.Key_M)
    assert not app.viewer.layers["Outlines"].visible


def test_clicking_a_button_leaves_the_keyboard_to_the_canvas(
    app: App, server: FakeServer, spin: Spin
) -> None:
    canvas_widget(app).setFocus()
    QTest.mouseClick(app.dock.review.finder._find, Qt.LeftButton)
    spin(lambda: app.controller.find.model.run.phase == "idle")
    assert app.dock.window().focusWidget() is canvas_widget(app)


def test_a_drawn_region_is_searched(app: App, server: FakeServer, spin: Spin) -> None:
    dock = app.dock
    dock.review.finder._where.choose(REGION)
    dock.review.finder._choose_where(REGION)
    assert not dock.review.finder._find.isEnabled()
    shapes = app.viewer.layers["Region"]
    shapes.add_rectangles(np.array([[9.5, 19.5], [9.5, 89.5], [59.5, 89.5], [59.5, 19.5]]))
    assert dock.review.finder._find.isEnabled()
    server.fake.script = [started(), points((30, 30)), done(1)]
    dock.review.finder.search()
    spin(lambda: count(app) == 1)
    assert server.fake.requests[0].region == (20, 10, 90, 60)
    shapes.add_rectangles(np.array([[0, 0], [0, 50], [40, 50], [40, 0]]))
    assert len(shapes.data) == 1


def test_what_cannot_be_saved_is_said_and_saved_on_retry(
    app: App, spin: Spin, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = app.controller.session.project
    append, is_full = project.append, True

    def full(events: Sequence[Event]) -> tuple[Event, ...]:
        if is_full:
            raise StorageError("The disk is full. Free some space, then press Retry.")
        return append(events)

    monkeypatch.setattr(project, "append", full)
    app.controller.correct.add(10, 10)
    assert count(app) == 1
    spin(lambda: app.dock.status.words() == "NOT saved")
    assert app.dock.status._retry.isVisible()
    is_full = False
    app.dock.status._retry.click()
    spin(lambda: app.dock.status.words().startswith("Saved"))
    assert not app.dock.status._retry.isVisible()
    assert len(project.journal(app.controller.images.model.open_field.entry.sha256)) == 1


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_dock_fits_a_small_laptop_in_both_themes(
    app: App, server: FakeServer, spin: Spin, theme: str
) -> None:
    app.viewer.theme = theme
    app.dock.window().resize(1366, 768)
    search(app, server, spin)
    app.dock.show_tab(IMPROVE)
    app.dock.show_tab(0)
    spin(lambda: app.dock.status.words().startswith("Saved"))
    assert app.dock.minimumSizeHint().width() <= WIDTH_PX + 20
    for panel in (app.dock.review, app.dock.improve):
        assert panel.minimumSizeHint().width() <= WIDTH_PX
    image = app.dock.grab().toImage()
    corner = image.pixelColor(image.width() // 2, image.height() - 60).lightness()
    assert (corner > 128) == (theme == "light")


def test_the_keys_are_shown_on_demand(app: App) -> None:
    press(app, Qt.Key_Question, Qt.ShiftModifier)
    (sheet,) = app.dock.findChildren(ShortcutsSheet)
    assert sheet.isVisible()
    QTest.keyClick(sheet, Qt.Key_Escape)
    assert not sheet.isVisible()


def test_the_menu_exports_the_nuclei_of_the_image_in_every_format(
    app: App, server: FakeServer, spin: Spin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(app, server, spin)
    (menu,) = (
        action.menu()
        for action in app.dock.header.menu.actions()
        if action.text().startswith("Export nuclei")
    )
    suggested: list[str] = []

    def choose(_parent: QWidget, _title: str, name: str, kinds: str) -> tuple[str, str]:
        suggested.append(Path(name).name)
        return str(tmp_path / "exported" / Path(name).name), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    (tmp_path / "exported").mkdir()
    for action, each in zip(menu.actions(), export_formats(), strict=True):
        assert action.text() == f"{each.words}\N{HORIZONTAL ELLIPSIS}"
        if find_spec(OF_AN_EXTRA.get(each.name, "numpy")) is None:
            continue
        action.trigger()
        written = tmp_path / "exported" / suggested[-1]
        assert written.name.endswith(each.suffix)
        spin(written.exists)
        if written.is_dir():
            shutil.rmtree(written)
        else:
            written.unlink()
    picture = tmp_path / "exported" / "view.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(picture), ""))
    (action,) = (a for a in app.dock.header.menu.actions() if a.text().startswith("Save a picture"))
    action.trigger()
    spin(picture.exists)
    # napari's File > Save Selected Layers: of ours, the review's nuclei, with their uids.
    wanted = set(map(str, app.controller.session.model.state.nuclei))
    for name in ("Nuclei", "Outlines"):
        path = tmp_path / f"{name}.geojson"
        assert app.viewer.layers[name].save(str(path), plugin="napari-nunext") == [str(path)]
        spin(path.exists)
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        assert {feature["id"] for feature in features} == wanted


def test_a_category_is_renamed_merged_and_deleted_from_its_menu(
    app: App, server: FakeServer, spin: Spin
) -> None:
    search(app, server, spin)
    categories = app.dock.review.categories
    found = categories.counts()["Lymphocyte"]

    def menu_of(number: int) -> QMenu:
        QTest.mouseClick(categories._rows[number].more, Qt.LeftButton)
        (menu,) = [m for m in categories.findChildren(QMenu) if m.isVisible()]
        return menu

    menu = menu_of(0)
    menu.actions()[0].trigger()
    menu.close()
    QTest.keyClicks(categories._rename, "TIL")
    QTest.keyClick(categories._rename, Qt.Key_Return)
    assert categories.counts() == {"TIL": found, "Stromal": "0"}
    menu = menu_of(0)
    (delete,) = [a.menu() for a in menu.actions() if a.text().startswith("Delete")]
    spin(lambda: f"its {found} nuclei in 1 image become" in delete.title())
    delete.actions()[0].trigger()
    menu.close()
    assert categories.counts() == {"Stromal": found}
    app.controller.history.undo()
    app.controller.history.undo()
    assert categories.counts() == {"Lymphocyte": found, "Stromal": "0"}


def test_the_dialogs_offer_whatever_is_read(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    def nobody(_: object, title: str, __: str, kinds: str) -> tuple[list[str], str]:
        asked[title] = kinds
        return [], ""

    monkeypatch.setattr(f"{asking.__name__}.QFileDialog.getOpenFileNames", nobody)
    app.dock.choose.files()
    app.dock.choose.nuclei()
    patterns = {title: set(re.findall(r"\*(\.[\w.]+)", kinds)) for title, kinds in asked.items()}
    assert patterns == {
        "Open images": set(image_suffixes()),
        "Import nuclei": set(nuclei_files.SUFFIXES),
    }
    assert all(kinds.endswith(";;All files (*)") for kinds in asked.values())
