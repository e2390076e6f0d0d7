"""What decides stays in sight on a small laptop, whatever else there is to show."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QEvent, QObject, QPoint, QRect
from qtpy.QtWidgets import QApplication

from napari_nunext.review.model import Notice
from napari_nunext.review.shown.find import RunStatus
from napari_nunext.ui.dock import IMPROVE
from napari_nunext.ui.shortcuts_sheet import ShortcutsSheet
from napari_nunext.ui.widgets.scrolling import fit_screen, fit_screen_soon, soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_nunext.ui.app import App

Spin = "Callable[..., None]"

LAPTOP_PX = (1366, 768)
LONG = Notice(
    "The model server at https://a-rather-long-name.of.a.hospital.example:8123 does not answer. "
    * 6,
    "error",
    "Restart",
    lambda: None,
    details="Connection refused after 10 s, tried 3 times. " * 20,
)
NOTICES = {"no notice": None, "a long notice": LONG, "a notice": Notice("Stopped.")}
RUNS = {"idle": RunStatus(), "searching": RunStatus("running", 1234, 3, 9, 75.0)}


def settle() -> None:
    for _ in range(5):
        QApplication.processEvents()


def assert_in_reach(app: App, button: QWidget, state: object) -> None:
    """A mouse click on any part of the button reaches it."""
    window = app.dock.window()
    rect = button.rect().adjusted(2, 2, -2, -2)
    for corner in (rect.topLeft(), rect.topRight(), rect.bottomLeft(), rect.center()):
        place = button.mapTo(window, QPoint(corner))
        assert window.rect().contains(place), f"{button.text()} lies outside: {state}"
        assert window.childAt(place) is button, f"{button.text()} is covered: {state}"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_accept_flag_and_comment_are_in_reach_in_every_state(
    app: App, tile: Callable[[str], Path], spin: Spin, theme: str
) -> None:
    dock, controller = app.dock, app.controller
    panel = dock.review
    app.viewer.theme = theme
    dock.window().resize(*LAPTOP_PX)
    controller.open.paths(
        [tile("a tile whose name is so long that it takes several lines " * 2 + ".png")]
    )
    spin(lambda: controller.images.model.queue.index == 1)
    for i in range(12):
        controller.categories.add(f"Category {i}")
    controller.correct.comment("a long comment " * 30)
    controller.correct.comment("a second long comment " * 30)
    controller.view.select([controller.correct.add(10.0, 10.0)])
    places = set()
    switches = itertools.product(NOTICES, RUNS, (False, True), (False, True))
    for state in switches:
        notice, run, is_typing, edits_scale = state
        controller.model.notice = NOTICES[notice]
        controller.find.model.run = RUNS[run]
        panel._comment.setVisible(is_typing)
        panel.categories._editor.setVisible(is_typing)
        dock.header._editor.setVisible(edits_scale)
        settle()
        if notice == "a long notice":
            dock.notice._more.click()
            settle()
            assert dock.notice._act.isVisible()
            assert_in_reach(app, dock.notice._act, state)
        assert dock.window().height() == LAPTOP_PX[1], f"the window had to grow: {state}"
        for button in (panel._accept, panel._flag, panel._say):
            assert_in_reach(app, button, state)
        places.add(panel._accept.mapTo(dock.window(), QPoint()).y())
    # napari's own status bar grows by a pixel while its list of activities has a sign there.
    assert max(places) - min(places) <= 1, "the button runs away from the mouse"


def test_a_window_is_no_larger_than_its_screen(app: App) -> None:
    """A screen of 1920 x 1080 px at 200 % has half of that, which is less than napari's usual."""
    window, free = app.dock.window(), QRect(0, 0, 960, 540)
    window.resize(1089, 630)
    settle()
    fit_screen(window, free)
    settle()
    assert window.width() <= free.width()
    assert window.minimumSizeHint().height() < window.height() <= free.height()
    fit_screen(window, QRect(0, 0, 3000, 2000))
    settle()
    assert window.height() <= free.height(), "it grows only by a person's hand"


def test_a_window_is_fitted_to_its_own_screen(app: App, spin: Spin) -> None:
    window = app.dock.window()
    free = window.screen().availableGeometry()
    window.resize(free.width() + 300, free.height() + 300)
    settle()
    fit_screen_soon(window)
    spin(lambda: window.height() <= free.height() and window.width() <= free.width())


def test_what_is_done_soon_is_not_done_for_what_is_gone(qapp: QApplication) -> None:
    done: list[str] = []
    owner, gone = QObject(), QObject()
    soon(owner, lambda: done.append("owner"))
    soon(gone, lambda: done.append("gone"))
    gone.deleteLater()
    QApplication.sendPostedEvents(gone, QEvent.Type.DeferredDelete)
    settle()
    assert done == ["owner"]


def test_no_timer_is_given_an_owner_which_pyqt_does_not_take(repo_root: Path) -> None:
    files = sorted((repo_root / "napari_nunext").rglob("*.py"))
    assert files
    assert [each.name for each in files if "QTimer.singleShot(" in each.read_text("utf-8")] == []


def test_a_notice_leaves_the_improve_tab_usable(app: App) -> None:
    app.dock.window().resize(*LAPTOP_PX)
    app.dock.show_tab(IMPROVE)
    app.controller.model.notice = LONG
    app.dock.notice._more.click()
    settle()
    assert app.dock.window().height() == LAPTOP_PX[1]
    assert app.dock._stack.height() > LAPTOP_PX[1] // 3


def test_the_list_of_keys_fits_a_laptops_screen(app: App) -> None:
    app.dock.window().resize(*LAPTOP_PX)
    app.dock.show_shortcuts()
    settle()
    (sheet,) = app.dock.findChildren(ShortcutsSheet)
    try:
        assert sheet.height() < LAPTOP_PX[1] - 100
        assert sheet.width() < LAPTOP_PX[0] - app.dock.width()
    finally:
        sheet.close()
