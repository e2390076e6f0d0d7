"""Commands: in the table, in the acts, in the manifest, and in napari's palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import pytest
from napari._qt.widgets.qt_command_palette import QCommandPalette
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_nunext.ui.commands import palette
from napari_nunext.ui.commands.lines import lines_of
from napari_nunext.ui.commands.table import BY_NAME, COMMANDS, WHILE_DRAWING, shown
from napari_nunext.ui.napari_versions import canvas_widget_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App

Spin = "Callable[..., None]"

USUAL = {command.name: command.keys for command in COMMANDS}


def said(app: App) -> str:
    notice = app.controller.model.notice
    return "" if notice is None else notice.words


def choose(app: App, text: str) -> None:
    """Open napari's palette, type, and press Return."""
    app.viewer.window._toggle_command_palette()
    (made,) = app.dock.window().findChildren(QCommandPalette)
    line = made.findChild(QLineEdit)
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)
    QApplication.processEvents()


def test_every_key_is_called_as_qt_calls_it_and_does_one_thing() -> None:
    keys = [key for command in COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys)) > 40
    assert [key for key in keys if QKeySequence(key).toString() != key] == []


def test_names_and_titles_tell_commands_apart() -> None:
    assert len(BY_NAME) == len(COMMANDS) == len({command.title for command in COMMANDS})
    assert {also.command for also in WHILE_DRAWING} <= set(BY_NAME)


def test_every_command_can_be_done_in_a_dock(empty_app: App) -> None:
    assert set(empty_app.dock.acts.by_name) == set(BY_NAME)


def test_the_sheet_lists_every_key() -> None:
    lines = lines_of(USUAL)
    listed = {keys for group in lines.values() for keys, _ in group}
    assert {"1 \N{EN DASH} 9", "Ctrl 1 \N{EN DASH} 4", "Ctrl Shift Z", "Enter"} <= listed
    words = [words for group in lines.values() for _, words in group]
    assert len(words) == len(set(words))
    for command in COMMANDS:
        assert bool(command.keys) == ((command.row or command.title) in words), command.name


def test_a_sign_is_shown_by_itself() -> None:
    assert [shown(key) for key in ("+", "Ctrl++", "-", "Return", "Shift+Tab")] == [
        "+",
        "Ctrl +",
        "\N{MINUS SIGN}",
        "Enter",
        "Shift Tab",
    ]


def test_what_has_no_image_says_so(empty_app: App) -> None:
    refused = [name for name, act in empty_app.dock.acts.by_name.items() if act.why_not()]
    always = {"open_images", "open_folder", "open_project", "check_server", "keys", "change_keys"}
    assert set(refused) == set(BY_NAME) - always
    palette.accept()
    assert said(empty_app) == "No image is open. Open one first."


def test_a_window_without_the_dock_says_how_to_open_it(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    palette.flag()
    viewer = napari.Viewer(show=False)
    palette.flag()
    viewer.close()
    assert told == [palette.NOT_OPEN] * 2


def test_what_is_no_command_is_no_function() -> None:
    with pytest.raises(AttributeError, match="has no attribute dance"):
        _ = palette.dance


def test_the_palette_finds_commands_by_the_plugin_and_does_them(
    app: App, tile: Callable[[str], Path], spin: Spin
) -> None:
    choose(app, "NuNext flag")
    assert app.controller.model.state.flagged
    choose(app, "NuNext next field")
    assert said(app) == "This is the last image."
    choose(app, "NuNext undo")
    assert not app.controller.model.state.flagged
    choose(app, "NuNext comment")
    window = app.dock.window()
    assert window.focusWidget() is app.dock.review._comment
    QTest.keyClick(app.dock.review._comment, Qt.Key.Key_Escape)
    assert window.focusWidget() is canvas_widget_of(window)


def test_the_palette_brings_a_closed_dock_back(app: App) -> None:
    frame = app.dock.parentWidget()
    frame.hide()
    choose(app, "NuNext show the ask tab")
    assert frame.isVisible()
    assert app.dock.ask.isVisible()


def test_asking_from_the_palette_says_what_is_missing(app: App) -> None:
    palette.ask()
    assert app.dock.ask.isVisible()
    assert said(app) == app.dock.ask.missing() != ""


def test_a_search_that_is_not_there_cannot_be_ended(app: App) -> None:
    for name in ("pause", "stop", "stop_asking", "stop_training", "go_on", "redo", "reopen"):
        app.controller.model.notice = None
        getattr(palette, name)()
        assert said(app), name
