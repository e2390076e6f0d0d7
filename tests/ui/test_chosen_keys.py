"""Keys that people change: kept, shown wherever keys are shown, and heard."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import napari.settings
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QPushButton

from napari_nunext.ui import app as app_module
from napari_nunext.ui.commands.chosen import KEYS, ChosenKeys
from napari_nunext.ui.commands.keys_editor import KeysEditor
from napari_nunext.ui.commands.table import BY_NAME, COMMANDS
from napari_nunext.ui.keys import key_of
from napari_nunext.ui.napari_versions import canvas_widget_of
from napari_nunext.ui.settings import PLUGIN
from napari_nunext.ui.shortcuts_sheet import ShortcutsSheet
from napari_nunext.ui.widgets.controls import EntryLine
from tests.ui.test_settings import keeps_preferences, preferences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

Spin = "Callable[..., None]"
Key, Mod = Qt.Key, Qt.KeyboardModifier


@pytest.fixture
def kept(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The preferences, in memory; the usual keys come back afterwards."""
    chosen = preferences(repo_root)
    known = SimpleNamespace(**{name: SimpleNamespace(**group) for name, group in chosen.items()})
    monkeypatch.setattr(
        napari.settings, "get_plugin_settings", lambda: {PLUGIN: known}, raising=False
    )
    yield known
    KEYS.bring_all_back()


@pytest.fixture
def window(kept: Any, app: App) -> App:
    return app


def editor_of(app: App) -> KeysEditor:
    app.dock.change_keys()
    (made,) = app.dock.window().findChildren(KeysEditor)
    return made


def says(editor: KeysEditor) -> str:
    return editor.findChildren(QLabel)[0].text()


def tips(app: App) -> str:
    review, header = app.dock.review, app.dock.header
    made = (review._flag, review._accept, header._next, app.dock.status._undo)
    return " / ".join(each.toolTip() for each in made)


def test_other_keys_survive_as_text() -> None:
    keys, again = ChosenKeys(), ChosenKeys()
    for name, key in (("accept", ","), ("flag", "="), ("delete", "Ctrl+X"), ("redo", "+")):
        keys.choose(name, key)
    assert again.read(keys.text) == ""
    assert again.by_command == keys.by_command
    assert again.of("delete") == ("Ctrl+X", "Del", "Backspace")
    assert again.of("larger_brush") == ()
    assert not again.are_usual


def test_a_key_that_is_taken_goes_to_the_one_that_asks() -> None:
    keys = ChosenKeys()
    keys.choose("flag", "C")
    assert (keys.of("flag"), keys.of("comment")) == (("C",), ())
    assert keys.holder("F") is None
    keys.bring_back("comment")
    assert (keys.of("flag"), keys.of("comment")) == ((), ("C",))
    keys.bring_all_back()
    assert keys.are_usual
    assert keys.text == ""


def test_every_command_gets_its_usual_keys_back_in_any_order() -> None:
    keys = ChosenKeys()
    for command, other in zip(COMMANDS, reversed(COMMANDS), strict=True):
        if other.keys:
            keys.choose(command.name, other.keys[0])
    for name in BY_NAME:
        keys.bring_back(name)
    assert keys.are_usual


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accept", "'accept' among the keys is not understood"),
        ("dance=X", "it names nothing that has keys"),
        ("flag=Hyper+\N{SNOWMAN}X", "is no key"),
        ("flag=X, comment=X", "it does the first"),
        ("=, ==, \x00=\x00", "is not understood"),
    ],
)
def test_what_is_not_understood_is_said_and_kept(text: str, words: str) -> None:
    keys = ChosenKeys()
    assert words in keys.read(f"{text}, undo=U")
    assert keys.of("undo") == ("U",)
    seen = [key for of_one in keys.by_command.values() for key in of_one]
    assert len(seen) == len(set(seen))
    keys.choose("next", "W")
    assert ChosenKeys().read(keys.text) != "" or "comment=" in keys.text
    for part in text.split(", "):
        assert part in keys.text or "comment=" in keys.text


@pytest.mark.parametrize(
    ("code", "held", "text", "name"),
    [
        (Key.Key_A, Mod.NoModifier, "a", "A"),
        (Key.Key_A, Mod.ShiftModifier, "A", "Shift+A"),
        (Key.Key_Z, Mod.ControlModifier | Mod.ShiftModifier, "", "Ctrl+Shift+Z"),
        (Key.Key_Enter, Mod.KeypadModifier, "\r", "Return"),
        (Key.Key_Backtab, Mod.ShiftModifier, "", "Shift+Tab"),
        (Key.Key_Question, Mod.ShiftModifier, "?", "?"),
        (Key.Key_1, Mod.ShiftModifier, "1", "1"),
        (Key.Key_5, Mod.KeypadModifier, "5", "5"),
        (Key.Key_BracketLeft, Mod.ControlModifier | Mod.AltModifier, "[", "["),
        (Key.Key_BracketLeft, Mod.ControlModifier, "\x1b", "Ctrl+["),
        (Key.Key_Shift, Mod.ShiftModifier, "", ""),
        (Key.Key_Control, Mod.ControlModifier, "", ""),
    ],
)
def test_keys_are_called_alike_on_every_keyboard(
    code: Qt.Key, held: Qt.KeyboardModifier, text: str, name: str
) -> None:
    assert key_of(QKeyEvent(QKeyEvent.Type.KeyPress, code, held, text)) == name


@pytest.mark.parametrize("key", sorted(key for command in COMMANDS for key in command.keys))
def test_every_key_of_the_table_is_known_whatever_text_comes_with_it(key: str) -> None:
    """X11 sends "1" with Ctrl and 1, other systems nothing or a control character."""
    pressed = QKeySequence(key)[0]
    sign = QKeySequence(pressed.key()).toString()
    for text in (sign, sign.lower(), "", "\x1b"):
        event = QKeyEvent(
            QKeyEvent.Type.KeyPress, pressed.key(), pressed.keyboardModifiers(), text[:1]
        )
        assert key_of(event) == key


def test_a_key_is_changed_by_a_click_and_a_press(window: App, kept: Any, spin: Spin) -> None:
    app = window
    editor = editor_of(app)
    spin(editor.isVisible)
    editor._buttons["flag"].click()
    QTest.keyClick(editor, Key.Key_X)
    assert kept.review.keys == "flag=X"
    assert "(X)" in tips(app)
    assert "(F)" not in tips(app)
    canvas = canvas_widget_of(app.dock.window())
    QTest.keyClick(canvas, Key.Key_F)
    assert not app.controller.model.state.flagged
    QTest.keyClick(canvas, Key.Key_X)
    assert app.controller.model.state.flagged
    app.dock.show_shortcuts()
    (sheet,) = app.dock.findChildren(ShortcutsSheet)
    badges = [label.text().strip() for label in sheet.findChildren(QLabel)]
    assert badges[badges.index("Flag for a second look") - 1] == "X"
    sheet.close()
    editor._all_usual.click()
    assert kept.review.keys == ""
    assert "(F)" in tips(app)
    editor.close()


def test_a_key_that_does_something_else_is_taken_at_the_second_press(
    window: App, kept: Any
) -> None:
    editor = editor_of(window)
    editor._buttons["find"].click()
    QTest.keyClick(editor, Key.Key_N)
    assert "N is the key of “Overview on and off”" in says(editor)
    assert kept.review.keys == ""
    QTest.keyClick(editor, Key.Key_N)
    assert kept.review.keys.split(", ") == ["overview=", "find=N"]
    assert "N" not in window.dock.keys.by_key or window.dock.keys.by_key["N"] == "find"
    editor._buttons["find"].click()
    editor._none.click()
    assert window.dock.keys.by_key.get("N") is None
    editor.close()


def test_tab_space_and_return_can_be_chosen_and_esc_gives_up(window: App, kept: Any) -> None:
    editor = editor_of(window)
    for key, name in ((Key.Key_Tab, "Tab"), (Key.Key_Space, "Space"), (Key.Key_Return, "Return")):
        editor._buttons["flag"].click()
        QTest.keyClick(editor, key)
        QTest.keyClick(editor, key)
        assert KEYS.of("flag")[0] == name
    editor._buttons["comment"].click()
    QTest.keyClick(editor, Key.Key_Escape)
    assert editor.isVisible()
    assert KEYS.of("comment") == ("C",)
    assert window.controller.images.model.open_field is not None
    editor.close()


def test_a_key_of_a_menu_cannot_be_chosen(window: App, kept: Any) -> None:
    editor = editor_of(window)
    editor._buttons["flag"].click()
    QTest.keyClick(editor, Key.Key_O, Mod.ControlModifier)
    assert "Ctrl O is a key of napari's menus" in says(editor)
    assert kept.review.keys == ""
    editor.close()


def test_return_in_a_box_accepts_nothing_whatever_accepts(window: App, kept: Any) -> None:
    app = window
    KEYS.choose("accept", "G")
    for line in app.dock.findChildren(EntryLine):
        for key in (Key.Key_G, Key.Key_Return):
            line.ask()
            QTest.keyClick(line, key)
            QApplication.processEvents()
    assert not app.controller.model.state.acceptances
    notice = app.controller.model.notice
    assert notice is None or notice.action_label != "Accept all the same"


def test_the_window_closes_with_the_list_of_keys_open(
    kept: Any, qapp: QApplication, tmp_path: Path, server: FakeServer
) -> None:
    app = app_module.main(project=tmp_path / "review.nunext", block=False, server=server)
    editor_of(app)._buttons["flag"].click()
    app.close()
    KEYS.choose("flag", "X")  # nobody who is gone hears of it


def test_keys_that_were_kept_badly_are_said_when_the_window_opens(
    kept: Any, qapp: QApplication, tmp_path: Path, server: FakeServer
) -> None:
    kept.review.keys = "accept=G, later=Z, flag=\N{SNOWMAN}\N{SNOWMAN}"
    app = app_module.main(project=tmp_path / "review.nunext", block=False, server=server)
    words = "" if app.controller.model.notice is None else app.controller.model.notice.words
    by_key = dict(app.dock.keys.by_key)
    app.close()
    assert "'later=Z' among the keys is not understood" in words
    assert (by_key["G"], by_key["F"], by_key.get("Return")) == ("accept", "flag", None)
    KEYS.choose("next", "W")
    assert "later=Z" in KEYS.text


def test_before_napari_0_9_a_key_counts_until_napari_is_closed(
    window: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(napari.settings, "get_plugin_settings")
    editor = editor_of(window)
    editor._buttons["flag"].click()
    QTest.keyClick(editor, Key.Key_X)
    assert "until napari is closed" in says(editor)
    assert window.dock.keys.by_key["X"] == "flag"
    editor.close()


@keeps_preferences
def test_napari_keeps_them_over_a_restart(repo_root: Path, tmp_path: Path) -> None:
    """In processes of their own: napari keeps its folder for its life."""
    script = (
        "import sys\n"
        "from npe2 import PluginManager, PluginManifest\n"
        "PluginManager.instance().register(PluginManifest.from_file(sys.argv[1]))\n"
        "from napari_nunext.ui.settings import keep_keys, read_settings\n"
        "print(read_settings().keys)\n"
        "if len(sys.argv) > 2: keep_keys(sys.argv[2])\n"
    )
    manifest = str(repo_root / "napari_nunext" / "napari.yaml")

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, manifest, *args],
            env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert run("accept=G, flag=Comma") == ""
    assert run() == "accept=G, flag=Comma"


def test_every_button_of_the_list_says_whose_key_it_is(window: App, kept: Any) -> None:
    editor = editor_of(window)
    named = {each.accessibleName() for each in editor.findChildren(QPushButton)}
    assert {f"Key of {command.title}" for command in COMMANDS} <= named
    editor.close()
