"""What an answer should have said: text and boxes, in place, starting from what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_nunext.core.answers.opinions import MOST_CHARACTERS
from napari_nunext.ui.widgets.controls import Text, button, row
from napari_nunext.ui.widgets.plain_text import TextBox

if TYPE_CHECKING:
    from napari_nunext.review.asking.judging import Judge
    from napari_nunext.review.shown.answers import ShownAnswer


class AnswerEditor(QWidget):
    """Text is saved when it is handed in; each thing done to a box is saved at once."""

    boxes_wanted = Signal(str)
    """The mouse is to move boxes (``"select"``), or to draw one (``"add_rectangle"``)."""
    box_to_delete = Signal()
    closed = Signal()
    left = Signal()
    """It was closed by whoever typed in it: the keyboard is free."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge
        self._shown: ShownAnswer | None = None
        self.text = TextBox("What it should have said", most=MOST_CHARACTERS)
        self.save = button("Save", tip="Ctrl+Return")
        self._as_said = button("As it was said", role="link", tip="Take the correction back")
        self._close = button("Close", role="link", tip="Esc")
        self._move = button("Move", tip="Drag a box or its corners")
        self._draw = button("Draw", tip="Drag a rectangle on the image")
        self._delete = button("Delete", tip="The selected box  (D)")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.text)
        buttons = row(self.save, self._as_said, self._close)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        boxes = row(Text("Boxes", role="muted"), self._move, self._draw, self._delete)
        boxes.addStretch(1)
        layout.addLayout(boxes)
        self.save.clicked.connect(self._save)
        self.text.entered.connect(self._save)
        self.text.given_up.connect(self.leave)
        self._close.clicked.connect(self.leave)
        self._as_said.clicked.connect(self._take_back)
        self._move.clicked.connect(lambda: self.boxes_wanted.emit("select"))
        self._draw.clicked.connect(lambda: self.boxes_wanted.emit("add_rectangle"))
        self._delete.clicked.connect(self.box_to_delete.emit)
        self.hide()

    def ask(self, shown: ShownAnswer) -> None:
        """Let a person correct this answer."""
        self._shown = shown
        self.text.setPlainText(shown.text)
        self.show()
        self.text.setFocus()
        if shown.boxes:
            self.boxes_wanted.emit("select")

    def follow(self, shown: ShownAnswer | None) -> None:
        """Go on with the same answer as it stands now; another one closes the editor."""
        before, self._shown = self._shown, shown
        if self.isHidden() or before is None:
            return
        if shown is None or shown.id != before.id:
            self.leave()
        elif shown.text != before.text and self.text.toPlainText() == before.text:
            self.text.setPlainText(shown.text)  # an undo, for one

    def leave(self) -> None:
        """Close, and forget what was typed and not saved."""
        focus = QApplication.focusWidget()
        had_it = focus is not None and self.isAncestorOf(focus)
        self.hide()
        self.closed.emit()
        if had_it:
            self.left.emit()

    def _save(self) -> None:
        if self._shown is not None:
            self._judge.correct_text(self.text.toPlainText().strip(), self._shown.id)
        self.leave()

    def _take_back(self) -> None:
        if self._shown is not None:
            said = self._shown.answer.said.answer
            self._judge.as_said(self._shown.id)
            self.text.setPlainText(said)
