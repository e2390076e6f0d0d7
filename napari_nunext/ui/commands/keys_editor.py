"""Where keys are changed: click a command, press a key.

A key that does something else already is taken over only when it is pressed a second time. It is a
window of its own, so that the sheet of keys can stay a thing that any key closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QDialog, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.commands.table import BY_NAME, COMMANDS, shown
from napari_nunext.ui.keys import key_of
from napari_nunext.ui.napari_versions import menu_keys
from napari_nunext.ui.settings import keep_keys
from napari_nunext.ui.widgets.controls import Text, button, row
from napari_nunext.ui.widgets.scrolling import scrolling
from napari_nunext.ui.widgets.theme import DOCK_NAME, SPACE_PX, style_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.widgets.theme import Palette

KEPT = "Kept. It counts from now on."
NOT_KEPT = (
    "It counts until napari is closed: this napari keeps no preferences of plugins, 0.9 does."
)
HOW = "Click a key, then press another one. Esc leaves it as it is."
SIZE_PX = (560, 560)
LISTED = ", "
GIVES_UP = "Esc"


class KeysEditor(QDialog):
    """All commands, and a button with the keys of each.

    Parameters
    ----------
    over : QWidget
        The dock.
    palette : Palette
    """

    _waiting = ""
    """The command that gets the next key; of the class, for Qt sends events while one is made."""

    def __init__(self, over: QWidget, palette: Palette) -> None:
        super().__init__(over.window())
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setWindowTitle("Keys")
        self.setObjectName(DOCK_NAME)
        self.setStyleSheet(style_sheet(palette))
        self._pressed = ""
        """A key that does something else, pressed once."""
        self._said = Text(HOW, role="muted", wraps=True)
        self._buttons: dict[str, QPushButton] = {}
        self._usual: dict[str, QPushButton] = {}
        self._none = button("No key", role="link")
        self._all_usual = button("Back to the usual keys")
        close = button("Close")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_PX, SPACE_PX, SPACE_PX, SPACE_PX)
        layout.addWidget(self._said)
        layout.addWidget(scrolling(self._list()), 1)
        layout.addLayout(row(self._all_usual, self._none, close, stretch=1))
        self._none.clicked.connect(self._take_away)
        self._all_usual.clicked.connect(self._bring_all_back)
        close.clicked.connect(self.close)
        self.finished.connect(self._let_go)
        KEYS.changed.connect(self._show)
        for each in self.findChildren(QPushButton):
            each.setAutoDefault(False)  # Return presses none of them
        self.resize(*SIZE_PX)
        self._show()

    def _list(self) -> QWidget:
        made = QWidget()
        grid = QGridLayout(made)
        grid.setContentsMargins(0, 0, SPACE_PX, 0)
        grid.setColumnStretch(0, 1)
        group, line = "", 0
        for command in COMMANDS:
            if command.group != group:
                group = command.group
                grid.addWidget(Text(group.upper(), role="section"), line, 0, 1, 3)
                line += 1
            key = button("", repeats=True)
            key.setAccessibleName(f"Key of {command.title}")
            usual = button("Usual", role="link")
            key.clicked.connect(self._waiter(command.name))
            usual.clicked.connect(self._restorer(command.name))
            self._buttons[command.name], self._usual[command.name] = key, usual
            for column, widget in enumerate((Text(command.title), key, usual)):
                grid.addWidget(widget, line, column)
            line += 1
        return made

    def _waiter(self, name: str) -> Callable[[], None]:
        return lambda: self.wait_for(name)

    def _restorer(self, name: str) -> Callable[[], None]:
        def restore() -> None:
            KEYS.bring_back(name)
            self._kept()

        return restore

    # What people do

    def wait_for(self, name: str) -> None:
        """Let the next key be this command's."""
        self._waiting, self._pressed = name, ""
        self.setFocus()  # or Space and Return would press what has it
        self._say(f"Press a key for “{BY_NAME[name].title}”. Esc leaves it as it is.")
        self._show()

    def event(self, event: QEvent) -> bool:
        """Take every key while one is waited for: Tab too, and those of menus."""
        if self._waiting and isinstance(event, QKeyEvent):
            if event.type() == QEvent.Type.ShortcutOverride:
                event.accept()
                return True
            if event.type() == QEvent.Type.KeyPress:
                self.take(key_of(event))
                return True
        return super().event(event)

    def take(self, key: str) -> None:
        """Give the waiting command a key, or say why not."""
        name = self._waiting
        if not name or not key:
            return
        if key == GIVES_UP:
            self._say("")
            self._end()
            return
        if words := menu_keys().get(key):
            self._say(
                f"{shown(key)} is a key of napari's menus: {words.rstrip('.')}. Press another one."
            )
            return
        held = KEYS.holder(key)
        if held is not None and held.name != name and key != self._pressed:
            self._pressed = key
            self._say(
                f"{shown(key)} is the key of “{held.title}”. Press it again to take it from there, "
                "or another one."
            )
            return
        KEYS.choose(name, key)
        self._kept()

    def _take_away(self) -> None:
        KEYS.take_away(self._waiting)
        self._kept()

    def _bring_all_back(self) -> None:
        KEYS.bring_all_back()
        self._kept()

    def _kept(self) -> None:
        self._say(KEPT if keep_keys(KEYS.text) else NOT_KEPT)
        self._end()

    def _end(self) -> None:
        self._waiting = self._pressed = ""
        self._show()

    # What is shown

    def _say(self, words: str) -> None:
        self._said.setText(words or HOW)

    def _show(self) -> None:
        for name, made in self._buttons.items():
            keys = LISTED.join(map(shown, KEYS.of(name)))
            made.setText("press a key\N{HORIZONTAL ELLIPSIS}" if name == self._waiting else keys)
            self._usual[name].setVisible(not KEYS.is_usual(name))
        self._none.setVisible(bool(self._waiting and KEYS.of(self._waiting)))
        self._all_usual.setEnabled(not KEYS.are_usual)

    def _let_go(self) -> None:
        KEYS.changed.disconnect(self._show)
