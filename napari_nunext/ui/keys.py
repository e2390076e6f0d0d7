"""What keys do: they are heard on the canvas, before napari hears of them, and nowhere else.

napari hands to the canvas every key that a widget of its window leaves over: the Return that ends a
line of text, a letter in a box for numbers. Those never come by here; and while a layer of ours is
the active one, napari's own bindings do not hear of them either. The focus when a key *arrives*
does not tell; by then Return may have closed its line and given the canvas the focus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence

from napari_nunext.ui.commands.table import BY_NAME, COMMANDS
from napari_nunext.ui.napari_versions import key_presses_of

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_nunext.review.connections import Connections
    from napari_nunext.ui.canvas.canvas import Canvas
    from napari_nunext.ui.commands.acts import Acts
    from napari_nunext.ui.commands.chosen import ChosenKeys

PEEK = "peek"
"""Lasts as long as its key is held."""
NOT_NAPARI_S = frozenset(key for command in COMMANDS for key in command.keys) | {"Ctrl+V"}
"""Keys that napari does not get where a layer of ours is active, whatever they do now: in napari
they would change tools or nuclei without telling."""


class Keys(QObject):
    """Does what the keys say that are pressed on the canvas.

    Parameters
    ----------
    canvas : Canvas
    acts : Acts
        What is done.
    keys : ChosenKeys
    connections : Connections
    """

    def __init__(
        self, canvas: Canvas, acts: Acts, keys: ChosenKeys, connections: Connections
    ) -> None:
        super().__init__()
        self._canvas = canvas
        self._acts = acts
        self._on_canvas = False
        self._held = ""
        """The key that hides what is over the tissue."""
        self._keys = keys
        self.by_key: dict[str, str] = {}
        """Name of the command of each key."""
        connections.call(self._take, keys.changed)
        self._take()

    def _take(self) -> None:
        by_command = self._keys.by_command
        self.by_key = {key: name for name, keys in by_command.items() for key in keys}

    def watch(self, canvas_widget: QWidget) -> None:
        """Hear the keys of the canvas before napari does, and of no other widget."""
        canvas_widget.installEventFilter(self)
        key_presses_of(canvas_widget).connect(self._admit)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Act on the keys that are ours, and let napari have the others."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            if self._canvas.is_active() and key_of(event) in self.by_key:
                event.accept()  # ours on the canvas, though a menu of napari's has it too
                return True
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if self._press(event):
                return True
            self._on_canvas = True
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyRelease:
            if self._held and key_of(event) == self._held and not event.isAutoRepeat():
                self._end_peek()
        elif event.type() == QEvent.Type.FocusOut:
            self._end_peek()  # another widget will hear of the key's end
        return super().eventFilter(watched, event)

    def _press(self, event: QKeyEvent) -> bool:
        """Do what a key says; whether napari is not to hear of it."""
        key = key_of(event)
        name = self.by_key.get(key, "")
        is_active = self._canvas.is_active()
        if not name or not (is_active or BY_NAME[name].anywhere):
            return is_active and key in NOT_NAPARI_S
        if event.isAutoRepeat() and not BY_NAME[name].repeats:
            return True
        if name == PEEK:
            self._held = key
        self._acts.do(name)
        return True

    def _end_peek(self) -> None:
        self._held = ""
        self._acts.end_peek()

    def _admit(self, event: Any) -> None:
        """Stop a key on its way to napari's bindings that was not pressed on the canvas."""
        on_canvas, self._on_canvas = self._on_canvas, False
        if not on_canvas and self._canvas.is_active():
            event.blocked = True


def key_of(event: QKeyEvent) -> str:
    """What was pressed, as the table calls it; empty for Shift, Ctrl and the like alone.

    A sign that takes Shift or AltGr on some keyboards is called by itself, and a key of the number
    pad as the same key elsewhere.
    """
    code, modifiers = event.key(), event.modifiers() & _COUNTED
    if code in _ALONE:
        return ""
    if code == Qt.Key.Key_Backtab:
        code, modifiers = Qt.Key.Key_Tab, modifiers | Qt.KeyboardModifier.ShiftModifier
    name = QKeySequence(Qt.Key.Key_Return if code == Qt.Key.Key_Enter else code).toString()
    if len(name) == 1 and not name.isalpha():
        modifiers &= ~Qt.KeyboardModifier.ShiftModifier
        # Ctrl and 1 give the text "1" as well: only what stands for AltGr has made the sign.
        if event.text() == name and not name.isdigit() and modifiers in _ALT_GR:
            modifiers = Qt.KeyboardModifier.NoModifier
    held = "".join(f"{words}+" for each, words in _HELD.items() if modifiers & each)
    return f"{held}{name}" if name.isprintable() else ""


_ALONE = {
    Qt.Key.Key_Shift,
    Qt.Key.Key_Control,
    Qt.Key.Key_Alt,
    Qt.Key.Key_AltGr,
    Qt.Key.Key_Meta,
    Qt.Key.Key_CapsLock,
    Qt.Key.Key_NumLock,
    Qt.Key.Key_unknown,
}
_HELD = {
    Qt.KeyboardModifier.MetaModifier: "Meta",
    Qt.KeyboardModifier.ControlModifier: "Ctrl",
    Qt.KeyboardModifier.AltModifier: "Alt",
    Qt.KeyboardModifier.ShiftModifier: "Shift",
}
"""In Qt's order."""
_ALT_GR = (
    Qt.KeyboardModifier.AltModifier,  # the option key of a Mac
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier,  # Windows
)
_COUNTED = (
    Qt.KeyboardModifier.MetaModifier
    | Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.ShiftModifier
)
