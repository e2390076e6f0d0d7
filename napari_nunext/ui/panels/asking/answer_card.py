"""One answer: what it says first, where it points to, why, and what a person says of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_nunext.core.answers.opinions import MOST_STARS, STARS
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.panels.asking.answer_editor import AnswerEditor
from napari_nunext.ui.panels.asking.answer_keys import bind
from napari_nunext.ui.panels.asking.evidence_list import EvidenceList
from napari_nunext.ui.panels.asking.rating_row import RatingRow
from napari_nunext.ui.panels.asking.words import (
    answer_words,
    corrected_words,
    made_by,
    notes_on,
    question_words,
    since_words,
    tokens_words,
)
from napari_nunext.ui.widgets.controls import Text, breakable, button, row, set_property
from napari_nunext.ui.widgets.focus_card import FocusCard
from napari_nunext.ui.widgets.plain_text import PlainView

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.answers import ShownAnswer
    from napari_nunext.review.shown.ask import Draft
    from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys
    from napari_nunext.ui.widgets.theme import Palette

SHORT = 80
"""Characters of an answer that stands out by its size."""
WRITING = "\N{HORIZONTAL ELLIPSIS}"
FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
UNFOLDED = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"


class AnswerCard(FocusCard):
    """Shows what is being written, else the answer that is selected."""

    boxes_wanted = Signal(str)
    box_to_delete = Signal()
    editor_closed = Signal()

    def __init__(
        self, controller: ReviewController, connections: Connections, keys: AnswerKeys
    ) -> None:
        super().__init__("The answer")
        self._controller = controller
        self._asker = controller.ask
        self._asking = controller.ask.model
        self._question = PlainView(role="muted", tallest_px=64)
        self.answer = PlainView(role="answer", tallest_px=150)
        self._said = PlainView(role="muted", tallest_px=90)
        self._notes = Text(role="caution", wraps=True)
        self._since = Text(role="caution", wraps=True)
        self._again = button("Ask again", tip="The same question, about the nuclei as they are now")
        self._of_since = QWidget()
        self._of_since.setLayout(row(self._since, self._again, stretch=0))
        self.evidence = EvidenceList(self._asker.book)
        self._why = button("", role="link")
        self.think = PlainView(tallest_px=150)
        self._show_raw = button("", role="link")
        self.raw = PlainView(role="muted", tallest_px=150)
        self._by = Text(role="muted", wraps=True)
        self._correct = button(
            "Correct", tip=f"Say what it should have said, and where  ({keys.shown('correct')})"
        )
        self.editor = AnswerEditor(self._asker.judge)
        self.rating = RatingRow(self._asker.judge, keys)
        first = (self._question, self.answer, self._said, self._notes)
        last = (self.think, self.raw, self.editor, self._by, self.rating)
        folds = row(self._why, self._show_raw, self._correct, gap_px=4)
        folds.insertStretch(2, 1)
        for made in (*first, self._of_since, self.evidence):
            self.body.addWidget(made)
        self.body.addLayout(folds)
        for below in last:
            self.body.addWidget(below)
        self._why.clicked.connect(lambda: self._fold(self.think))
        self._show_raw.clicked.connect(lambda: self._fold(self.raw))
        self._again.clicked.connect(self._ask_again)
        self._correct.clicked.connect(self.correct)
        self.editor.boxes_wanted.connect(self.boxes_wanted.emit)
        self.editor.box_to_delete.connect(self.box_to_delete.emit)
        self.editor.closed.connect(self.editor_closed.emit)
        for typed in (self.editor, self.rating.comment):
            typed.left.connect(self.setFocus)  # on goes the rating, by key
        for folded in (self.think, self.raw):
            folded.hide()
        history = controller.history
        bind(
            self,
            {key: self._judging(act) for key, act in self._acts(keys).items()}
            | {"Ctrl+Z": history.undo, "Ctrl+Shift+Z": history.redo},
        )
        events = self._asking.events
        self._last_id = ""
        # At the end of an answer several things change, one by one: between them there is none.
        self._pacer = Pacer(self._show, 0.0)
        connections.stop(self._pacer.stop)
        connections.call(
            self._pacer.ask,
            events.draft,
            events.selected,
            events.status,
            events.boxes,
            events.evidence,
            events.since,
            events.pair,
            events.ratings,
        )
        self._show()

    def flush(self) -> None:
        """Show now what would be shown soon."""
        self._pacer.flush()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.rating.set_palette(palette)

    def correct(self) -> None:
        """Open the editor."""
        if self._asking.selected is not None:
            self.editor.ask(self._asking.selected)

    def _ask_again(self) -> None:
        self._asker.ask_again()
        self.setFocus()  # as after the first time: its keys judge it

    def _acts(self, keys: AnswerKeys) -> dict[str, Callable[[], object]]:
        """What keys say of the answer."""
        judge = self._asker.judge
        return {
            **{str(stars): partial(judge.rate, stars) for stars in STARS},
            **{keys.of(reason): partial(judge.tag, reason) for reason in MOST_STARS},
            keys.of("correct"): self.correct,
            keys.of("comment"): self.rating.ask_comment,
        }

    def _judging(self, act: Callable[[], object]) -> Callable[[], None]:
        """The same where an answer is shown that can be judged."""

        def judge() -> None:
            if self._asking.selected is not None and self.rating.isVisible():
                act()

        return judge

    def _fold(self, view: PlainView) -> None:
        view.setVisible(view.isHidden())
        self._show_folds()

    def _show_folds(self) -> None:
        for view, opener, name in (
            (self.think, self._why, "Why"),
            (self.raw, self._show_raw, "Raw text"),
        ):
            opener.setText(f"{FOLDED if view.isHidden() else UNFOLDED} {name}")
            has_text = bool(view.toPlainText())
            opener.setVisible(has_text)
            if not has_text:
                view.hide()

    def _show(self) -> None:
        asking = self._asking
        draft, chosen, status = asking.draft, asking.selected, asking.status
        is_asked_here = status.busy and self._is_open(status.image_sha256)
        self.setVisible(
            asking.pair is None
            and not (is_asked_here and status.comparing)
            and (draft is not None or chosen is not None or is_asked_here)
        )
        if draft is not None or (is_asked_here and chosen is None):
            self._show_draft(draft)
        elif chosen is not None:
            self._show_answer(chosen)
        self.editor.follow(chosen if draft is None else None)
        self._show_folds()

    def _is_open(self, sha256: str) -> bool:
        return self._controller.session.is_open(sha256)

    def _show_draft(self, draft: Draft | None) -> None:
        status = self._asking.status
        self._last_id = ""
        for made in (self._said, self._notes, self._of_since, self._correct, self.rating):
            made.hide()
        self._question.show_text("" if status.question is None else question_words(status.question))
        self._say("" if draft is None else answer_words(draft.answer, len(draft.boxes)))
        self.answer.setPlaceholderText(status.waiting or WRITING)
        self.think.show_text("" if draft is None else draft.think)
        self.raw.show_text("" if draft is None else draft.raw)
        boxes = () if draft is None else draft.boxes
        self.evidence.show_evidence(boxes, len(self._asking.evidence), reads=True)
        spent = ""
        if draft is not None and draft.image_tokens is not None:
            is_chosen, look = draft.allocated is not None, draft.look_tokens
            spent = tokens_words(draft.image_tokens, None, chosen=is_chosen, look=look)
        self._by.setText(spent)
        self._by.setVisible(bool(spent))

    def _say(self, answer: str) -> None:
        """The answer, large where it is short."""
        set_property(self.answer, "role", "answer" if len(answer) <= SHORT else "long answer")
        self.answer.show_text(answer)

    def _show_answer(self, shown: ShownAnswer) -> None:
        said = shown.answer.said
        if shown.id != self._last_id:
            self._last_id = shown.id
            self.rating.forget_typed()
        self._question.show_text(question_words(shown.answer.asked.question))
        self._say(answer_words(shown.text, len(shown.boxes)))
        self.answer.setPlaceholderText("It gave no answer.")
        corrected = corrected_words(shown)
        self._said.setVisible(bool(corrected))
        self._said.show_text(corrected)
        notes = notes_on(said)
        self._notes.setText("\n".join(notes))
        self._notes.setVisible(bool(notes))
        self.think.show_text(said.think)
        self.raw.show_text(said.raw)
        reads, since = shown.answer.by.reads_nuclei, self._asking.since
        nuclei = len(self._asking.evidence)
        self.evidence.show_evidence(self._asking.boxes, nuclei, reads=reads)
        self._since.setText("" if since is None else since_words(since, reads))
        self._of_since.setVisible(since is not None)
        self._again.setEnabled(not self._asking.status.busy)
        by = made_by(shown)
        self._by.setText(breakable(by))
        self._by.setVisible(bool(by))
        self._correct.setVisible(self._asking.ratings)
        self.rating.setVisible(self._asking.ratings)
        self.rating.show_rating(shown.rating)
