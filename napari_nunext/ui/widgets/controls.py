"""Small controls that the panels share."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QCursor, QPainter, QTextOption
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_nunext.ui.widgets.theme import DOCK_NAME, SPACE_PX, Palette, dot_pixmap, icon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPaintEvent


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at, and restyle where it changed."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class Once:
    """A part of a button for which the second of two quick clicks is none.

    Who double-clicks *Ask* does not mean *Stop*, whether that is the same button or came up there.
    """

    _then: QWidget | None = None
    """What had the keyboard once it was clicked."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Click."""
        super().mouseReleaseEvent(event)  # type: ignore[misc]  # of the button
        self._then = QApplication.focusWidget()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Leave all as the first click left it; by default it would be pressed again.

        The keyboard, too, which Qt gives at every press to what lies behind the button.
        """
        if self._then in QApplication.allWidgets():  # and was not taken away since
            self._then.setFocus()


class _OnceButton(Once, QPushButton):
    """A push button for what is done once."""


def button(text: str, *, role: str = "", tip: str = "", repeats: bool = False) -> QPushButton:
    """A push button that leaves the keyboard to the canvas; with `repeats`, each click counts."""
    made = QPushButton(text) if repeats else _OnceButton(text)
    made.setProperty("role", role)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    made.setToolTip(as_tip(tip))
    return made


def as_tip(text: str) -> str:
    """A text as a tip that shows it as it stands: Qt takes what has a tag in it for mark-up."""
    return f"<span>{escape(text)}</span>" if "<" in text else text


def give_keyboard_back(widget: QWidget) -> None:
    """Let the canvas have the keyboard again: it stands in for the dock around a widget."""
    parent = widget.parentWidget()
    while parent is not None:
        if parent.objectName() == DOCK_NAME and parent.focusProxy() is not None:
            parent.setFocus()
            return
        parent = parent.parentWidget()


def row(*widgets: QWidget, stretch: int | None = None, gap_px: int = SPACE_PX) -> QHBoxLayout:
    """Widgets side by side; the one at index `stretch` takes the room that is left."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(gap_px)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if i == stretch else 0)
    return layout


class Card(QFrame):
    """A framed group of controls with a vertical layout, `self.body`."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(10, 9, 10, 10)
        self.body.setSpacing(SPACE_PX)
        if title:
            self.body.addWidget(Text(title, role="section"))


class Text(QLabel):
    """A label with a role: ``title``, ``section``, ``muted`` or plain.

    Where its line is longer than its place it ends in an ellipsis, and a tip has all of it. Qt
    gives longer words more room only later, and cuts them off until then.
    """

    cut = Qt.TextElideMode.ElideRight
    """Where the ellipsis stands."""

    def __init__(self, text: str = "", *, role: str = "", wraps: bool = False) -> None:
        super().__init__(text)
        self.setProperty("role", role)
        self.setWordWrap(wraps)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def shown_text(self) -> str:
        """What of its text is to be seen."""
        room_px, metrics = self.contentsRect().width(), self.fontMetrics()
        if self.wordWrap() or metrics.horizontalAdvance(self.text()) <= room_px:
            return self.text()
        return metrics.elidedText(self.text(), self.cut, room_px)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw as much as there is room for."""
        shown = self.shown_text()
        if shown == self.text():
            super().paintEvent(event)
            return
        painter = QPainter(self)
        self.drawFrame(painter)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(QRectF(self.contentsRect()), shown, QTextOption(self.alignment()))
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Have all of the text as a tip, above its own or its parent's, where some is hidden."""
        if event.type() != QEvent.Type.ToolTip or self.shown_text() == self.text():
            return super().event(event)
        parent = self.parentWidget()
        tip = self.toolTip() or (parent.toolTip() if parent is not None else "")
        lines = dict.fromkeys(filter(None, (self.text(), tip)))
        QToolTip.showText(QCursor.pos(), as_tip("\n".join(lines)), self)
        return True


class ElidedText(Text):
    """A label of one line that shortens its text in the middle and shows all of it as a tip."""

    cut = Qt.TextElideMode.ElideMiddle

    def __init__(self, text: str = "", *, role: str = "") -> None:
        super().__init__(role=role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show this text."""
        self.setText(text)
        self.setToolTip(as_tip(text))

    def minimumSizeHint(self) -> QSize:
        """Any width will do."""
        return QSize(20, super().minimumSizeHint().height())


class NameButton(QFrame):
    """A name that is shown whole, on as many lines as it takes, and can be clicked."""

    clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "name")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._words = Text(role="title", wraps=True)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setLayout(row(self._words))

    def set_text(self, text: str, *, tip: str) -> None:
        """Show this name."""
        self._words.setText(breakable(text))
        self.setAccessibleName(text)
        self.setToolTip(as_tip(tip))

    def text(self) -> str:
        """The name it shows."""
        return self.accessibleName()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """It was clicked."""
        if self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """It was clicked by a key."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_Down):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)


def breakable(name: str) -> str:
    """A name that may be broken behind every sign and every ten letters."""
    return re.sub(r"([\W_]|\w{10})", "\\1\N{ZERO WIDTH SPACE}", name)


class EntryLine(QLineEdit):
    """A line of text that comes when it is asked for: Return hands it in, Esc takes it away.

    What is half typed stays where it is when the focus goes elsewhere.
    """

    entered = Signal(str)
    """The text; never blank."""
    left = Signal()
    """The line was closed, with or without a text."""

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder)
        self.hide()

    def ask(self) -> None:
        """Let the user type, or go on typing."""
        self.show()
        self.setFocus()

    def leave(self) -> None:
        """Forget the text and close."""
        self.clear()
        self.hide()
        give_keyboard_back(self)
        self.left.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand in or close."""
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            text = self.text().strip()
            if text:
                self.entered.emit(text)
            self.leave()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Close if nothing was typed."""
        super().focusOutEvent(event)
        if not self.text() and event.reason() != Qt.FocusReason.PopupFocusReason:
            self.hide()


class EntryNumber(QDoubleSpinBox):
    """A number: Return hands it in, Esc gives up."""

    entered = Signal(float)
    given_up = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand in or give up."""
        if event.key() == Qt.Key.Key_Escape:
            self.given_up.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.interpretText()
            self.entered.emit(self.value())
        else:
            super().keyPressEvent(event)


class IconButton(QToolButton):
    """A flat square button with a line icon."""

    def __init__(self, name: str, tip: str, *, size_px: int = 26) -> None:
        super().__init__()
        self._name = name
        self._checked_name = name
        self._color = self._pale = "#888888"
        self.setProperty("role", "plain")
        self.setToolTip(as_tip(tip))
        self.setAccessibleName(tip)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedSize(size_px, size_px)
        self.setIconSize(QSize(16, 16))
        self.toggled.connect(self._draw)

    def toggles(self, unchecked_name: str) -> IconButton:
        """Make it a toggle that shows another icon while it is off."""
        self._checked_name, self._name = self._name, unchecked_name
        self.setCheckable(True)
        self.setChecked(True)
        return self

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._color, self._pale = palette.text, palette.line
        self._draw()

    def changeEvent(self, event: QEvent) -> None:
        """Be pale while there is nothing to do."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.EnabledChange:
            self._draw()

    def _draw(self) -> None:
        name = self._checked_name if self.isChecked() else self._name
        color = self._color if self.isEnabled() else self._pale
        self.setIcon(icon(name, color, widget=self))


class StatusDot(QWidget):
    """A coloured dot with words beside it; colour is never the only sign."""

    clicked = Signal()

    def __init__(self, tip: str = "") -> None:
        super().__init__()
        self._dot = QLabel()
        self._words = Text(role="muted")
        self.setToolTip(as_tip(tip))
        layout = row(self._dot, self._words, stretch=1, gap_px=5)
        self.setLayout(layout)

    def show_status(self, color: str, words: str) -> None:
        """Colour as the style sheets write it, and what it means."""
        self._dot.setPixmap(dot_pixmap(color, size_px=9))
        self._words.setText(words)

    def words(self) -> str:
        """What it says."""
        return self._words.text()

    def mouseReleaseEvent(self, event: object) -> None:
        """Ask for a check."""
        self.clicked.emit()


class Segments(QWidget):
    """One choice out of a few, side by side."""

    chosen = Signal(int)

    def __init__(self, labels: Sequence[str], *, role: str = "segment") -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        layout = row(gap_px=0)
        for i, label in enumerate(labels):
            made = button(label, role=role)
            made.setCheckable(True)
            place = "first" if i == 0 else "last" if i == len(labels) - 1 else "middle"
            made.setProperty("place", place)
            self._group.addButton(made, i)
            layout.addWidget(made, 1)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self.chosen.emit)
        self.setLayout(layout)

    def index(self) -> int:
        """The choice; -1 for none."""
        return self._group.checkedId()

    def choose(self, index: int) -> None:
        """Choose without telling anybody."""
        self._group.button(index).setChecked(True)

    def choose_none(self) -> None:
        """Take the choice back, without telling anybody."""
        self._group.setExclusive(False)
        for made in self._group.buttons():
            made.setChecked(False)
        self._group.setExclusive(True)

    def set_enabled(self, index: int, enabled: bool, tip: str = "") -> None:
        """Allow or refuse one of the choices, and say why."""
        self._group.button(index).setEnabled(enabled)
        self._group.button(index).setToolTip(as_tip(tip))
