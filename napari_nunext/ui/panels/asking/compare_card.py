"""Two answers side by side: which is better, without a word on who gave them until that is said."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.panels.asking.answer_keys import PREFERRING, bind
from napari_nunext.ui.panels.asking.words import answer_words, made_by, notes_on, question_words
from napari_nunext.ui.widgets.controls import Text, breakable, button, row
from napari_nunext.ui.widgets.focus_card import FocusCard
from napari_nunext.ui.widgets.plain_text import PlainView

if TYPE_CHECKING:
    from napari_nunext.core.answers.opinions import Preferred
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.answers import ShownAnswer, ShownPair
    from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys

ASKING = "Two answers are being written; both are shown when both are there."
BLIND = "Which is better? Who answered is shown once you have said so."
NAMED = "Which is better? Names are shown, so this counts in no ranking."
VERDICTS: dict[Preferred, str] = {
    "left": "You find the left one better.",
    "right": "You find the right one better.",
    "tie": "You find both as good.",
    "both_bad": "You find both bad.",
    "skipped": "You skipped this one.",
}


class Side(QWidget):
    """One of the two."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = Text(title, role="section")
        self.answer = PlainView(role="long answer", tallest_px=140)
        self._notes = Text(role="caution", wraps=True)
        self.think = PlainView(role="muted", tallest_px=120)
        self._by = Text(role="muted", wraps=True)
        self.places = button("", role="link", tip="Show its boxes on the image")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for made in (self.title, self.answer, self._notes, self.think, self.places, self._by):
            layout.addWidget(made)
        layout.addStretch(1)

    def show_answer(self, shown: ShownAnswer, *, explains: bool) -> None:
        """Show this one; its thought where it is asked for."""
        said, by = shown.answer.said, made_by(shown)
        self.answer.show_text(answer_words(said.answer, len(said.boxes)))
        self.answer.setPlaceholderText("no answer")
        # Notes name servers and models.
        notes = [] if shown.hides_name else notes_on(said)
        self._notes.setText("\n".join(notes))
        self._notes.setVisible(bool(notes))
        self.think.show_text(said.think)
        self.think.setVisible(explains and bool(said.think))
        count = len(said.boxes) or len(shown.evidence)
        words = "Show its evidence" if count else ""
        self.places.setText(words)
        self.places.setVisible(bool(words))
        self._by.setText(breakable(by))
        self._by.setVisible(bool(by))


class CompareCard(FocusCard):
    """Shows `AskModel.pair`, or that it is being made."""

    def __init__(
        self, controller: ReviewController, connections: Connections, keys: AnswerKeys
    ) -> None:
        super().__init__("Two answers")
        self._controller = controller
        self._asker = controller.ask
        self._asking = controller.ask.model
        self._explains = False
        self._question = PlainView(role="muted", tallest_px=64)
        self._words = Text(wraps=True)
        self.left, self.right = Side("LEFT"), Side("RIGHT")
        self._sides = QWidget()
        sides = row(self.left, self.right)
        for i in (0, 1):
            sides.setStretch(i, 1)
        self._sides.setLayout(sides)
        self._why = button("Why", role="link", tip="What both of them thought")
        self._close = button("Close", role="link", tip="Back to the list, with the names")
        self.buttons = {name: self._button(name, keys) for name in PREFERRING}
        self._choices = QWidget()
        self._lay_out_choices()
        for made in (self._question, self._words, self._sides):
            self.body.addWidget(made)
        self.body.addLayout(row(self._why, self._close, stretch=None))
        self.body.addWidget(self._choices)
        self._why.clicked.connect(self._explain)
        self._close.clicked.connect(self._asker.compare.close)
        for side, name in ((self.left, "left"), (self.right, "right")):
            side.places.clicked.connect(partial(self._show_places, name))
        history = controller.history
        bind(
            self,
            {keys.of(name): partial(self.judge, name) for name in PREFERRING}
            | {"Ctrl+Z": history.undo, "Ctrl+Shift+Z": history.redo},
        )
        events = self._asking.events
        # Once both are written several things change, one by one: between them there is none.
        self._pacer = Pacer(self._show, 0.0)
        connections.stop(self._pacer.stop)
        connections.call(self._pacer.ask, events.pair, events.status)
        self._show()

    def flush(self) -> None:
        """Show now what would be shown soon."""
        self._pacer.flush()

    def judge(self, preferred: Preferred) -> None:
        """Say which is better."""
        if self._asking.pair is not None:
            self._asker.compare.judge(preferred)

    def _button(self, preferred: Preferred, keys: AnswerKeys) -> QPushButton:
        shown, words = keys.shown(preferred), PREFERRING[preferred]
        made = button(f"{shown}  {words}", tip=f"{words}  ({shown})")
        made.setCheckable(True)
        made.clicked.connect(lambda: self.judge(preferred))
        return made

    def _lay_out_choices(self) -> None:
        layout = QVBoxLayout(self._choices)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        b = self.buttons
        layout.addLayout(row(b["left"], b["right"], gap_px=4))
        layout.addLayout(row(b["tie"], b["both_bad"], b["skipped"], gap_px=4))

    def _show_places(self, name: str) -> None:
        pair = self._asking.pair
        if pair is not None:
            self._asker.book.select((pair.left if name == "left" else pair.right).id)

    def _explain(self) -> None:
        self._explains = not self._explains
        self._show()

    def _show(self) -> None:
        status, pair = self._asking.status, self._asking.pair
        is_made = status.busy and status.comparing and self._is_open(status.image_sha256)
        self.setVisible(pair is not None or is_made)
        for made in (self._sides, self._choices, self._why, self._close):
            made.setVisible(pair is not None)
        if pair is not None:
            self._show_pair(pair)
        elif is_made:
            self._explains = False
            question = status.question
            self._question.show_text("" if question is None else question_words(question))
            self._words.setText(status.waiting or ASKING)

    def _show_pair(self, pair: ShownPair) -> None:
        self._question.show_text(question_words(pair.left.answer.asked.question))
        words = BLIND if pair.hides_names else NAMED
        self._words.setText(words if pair.preferred is None else VERDICTS[pair.preferred])
        for side, shown in ((self.left, pair.left), (self.right, pair.right)):
            side.show_answer(shown, explains=self._explains)
        self._why.setVisible(bool(pair.left.answer.said.think or pair.right.answer.said.think))
        for name, made in self.buttons.items():
            made.setChecked(name == pair.preferred)

    def _is_open(self, sha256: str) -> bool:
        return self._controller.session.is_open(sha256)
