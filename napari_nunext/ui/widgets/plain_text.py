"""Text of any length as it stands: shown, or typed. Never mark-up, never a link.

Both grow with what is in them up to a height, and scroll from there on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy

if TYPE_CHECKING:
    from qtpy.QtCore import QMimeData
    from qtpy.QtGui import QKeyEvent, QResizeEvent

TALLEST_PX = 180
UNBROKEN = re.compile(r"(\S{1000})(?=\S)")
"""Qt takes seconds to wrap 100,000 letters without a space; such a run is shown in pieces."""


class _Growing(QPlainTextEdit):
    """As high as its text, within limits."""

    def __init__(self, lines: int, tallest_px: int) -> None:
        super().__init__()
        self._lines = lines
        self._tallest_px = tallest_px
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAcceptDrops(False)  # files are dropped on the dock
        self.setTabChangesFocus(True)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        # Qt counts the height of plain text in lines.
        lines = max(self._lines, round(self.document().size().height()))
        margins = self.contentsMargins()
        around_px = margins.top() + margins.bottom() + 2 * round(self.document().documentMargin())
        needed_px = lines * self.fontMetrics().lineSpacing() + around_px + 2
        height_px = min(needed_px, self._tallest_px)
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded
            if needed_px > self._tallest_px
            else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        if height_px != self.height() or height_px != self.minimumHeight():
            self.setFixedHeight(height_px)


class PlainView(_Growing):
    """Shows text, which can be selected with the mouse."""

    def __init__(self, *, role: str = "", tallest_px: int = TALLEST_PX) -> None:
        super().__init__(1, tallest_px)
        self.setProperty("role", role)
        self.setReadOnly(True)
        self.document().setDocumentMargin(0)  # in line with the labels around it
        # Without a caret: keys are left to what the text lies on.
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    def show_text(self, text: str) -> None:
        """Show this; where it goes on from what is there, nothing else moves."""
        there, text = self.toPlainText(), UNBROKEN.sub("\\1\n", text)
        if text == there:
            return
        if there and text.startswith(there):
            cursor = self.textCursor()
            cursor.movePosition(cursor.MoveOperation.End)
            cursor.insertText(text[len(there) :])
        else:
            self.setPlainText(text)


class TextBox(_Growing):
    """Takes text of several lines: Ctrl+Return hands it in, Esc gives up.

    Parameters
    ----------
    placeholder : str
    name : str
        What screen readers call it.
    most : int
        Characters that it takes; what is pasted beyond is left out, and `left_out` says so.
    lines : int
        Its height while there is less.
    returns : bool
        Whether Return alone hands it in as well, and Shift+Return begins a new line.
    """

    entered = Signal()
    given_up = Signal()
    left_out = Signal(int)
    """So many characters did not fit."""

    def __init__(
        self,
        placeholder: str,
        *,
        most: int,
        name: str = "",
        lines: int = 2,
        returns: bool = False,
        tallest_px: int = TALLEST_PX,
    ) -> None:
        super().__init__(lines, tallest_px)
        self._most = most
        self._returns = returns
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name or placeholder)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand in, give up or type."""
        if event.key() == Qt.Key.Key_Escape:
            self.given_up.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._hands_in(event):
            self.entered.emit()
        else:
            super().keyPressEvent(event)
            event.accept()  # what it has no use for is no key of the canvas either

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste as much as fits."""
        text = source.text()
        cursor = self.textCursor()
        replaced = cursor.selectionEnd() - cursor.selectionStart()
        room = max(self._most - self.document().characterCount() + 1 + replaced, 0)
        cursor.insertText(text[:room])
        if len(text) > room:
            self.left_out.emit(len(text) - room)

    def _hands_in(self, event: QKeyEvent) -> bool:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            return True
        return self._returns and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier
