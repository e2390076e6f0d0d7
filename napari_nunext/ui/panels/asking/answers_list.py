"""The answers about the open image: searched, filtered, chosen, two of them compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QListWidget, QListWidgetItem, QSizePolicy

from napari_nunext.core.answers.opinions import STARS
from napari_nunext.core.process.asked import TASKS
from napari_nunext.ui.panels.asking.words import line_of
from napari_nunext.ui.widgets.controls import Card, Text, button, row

if TYPE_CHECKING:
    from napari_nunext.core.process.asked import AskTask
    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.shown.ask import AnswerFilter

ROWS = 5
EMPTY = "Nothing was asked about this image yet. Ask above; answers are kept with the image."
NONE_LEFT = "No answer fits the filter."


class AnswersList(Card):
    """Shows `AskModel.answers`; two rows may be chosen, with Ctrl."""

    def __init__(self, asker: Asker, connections: Connections) -> None:
        super().__init__("ANSWERS ABOUT THIS IMAGE")
        self._asker = asker
        self._asking = asker.model
        self._ids: list[str] = []
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search questions, answers, comments")
        self.search.setAccessibleName("Search the answers")
        self.search.setClearButtonEnabled(True)
        self.search.setAcceptDrops(False)
        self.who, self.task, self.rated = (
            _choice(name) for name in ("Who answered", "What was asked", "Rated or not")
        )
        for words in ("anything", *TASKS.values()):
            self.task.addItem(words)
        for words in (
            "rating",
            "not rated",
            "rated",
            *(f"{n} \N{BLACK STAR}" for n in STARS),
        ):
            self.rated.addItem(words)
        self.list = QListWidget()
        self.list.setAccessibleName("Answers about this image")
        self.list.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setUniformItemSizes(True)
        self._compare = button("Compare these two", tip="Side by side, with their names")
        self._words = Text(role="muted", wraps=True)
        filters = row(self.who, self.task, self.rated, gap_px=4)
        self.body.addWidget(self.search)
        self.body.addLayout(filters)
        self.body.addWidget(self.list)
        self.body.addWidget(self._compare)
        self.body.addWidget(self._words)
        self.search.textChanged.connect(self._filter)
        for choice in (self.who, self.task, self.rated):
            choice.activated.connect(self._filter)
        self.list.itemSelectionChanged.connect(self._choose)
        self._compare.clicked.connect(self._put_side_by_side)
        events = self._asking.events
        connections.call(self._show, events.answers, events.total, events.ratings)
        connections.call(self._show_selected, events.selected)
        connections.call(self._show_who, events.answerers, events.answers)
        self._show_who()
        self._show()

    def _filter(self) -> None:
        rated = self.rated.currentIndex()
        stars = frozenset() if rated < 3 else frozenset({rated - 2})
        tasks: tuple[AskTask | Literal[""], ...] = ("", *TASKS)
        wanted: AnswerFilter = replace(
            self._asking.filter,
            text=self.search.text(),
            answerer=self.who.currentData() or "",
            task=tasks[self.task.currentIndex()],
            rated={1: False, 2: True}.get(rated),
            stars=stars,
        )
        self._asker.book.filter(wanted)

    def _show_who(self) -> None:
        """Everybody who can be asked or has answered here."""
        chosen = self.who.currentData()
        names = [each.name for each in self._asking.answerers]
        names += [each.answerer for each in self._asking.answers]
        self.who.clear()
        self.who.addItem("anyone", "")
        for name in dict.fromkeys(filter(None, names)):
            self.who.addItem(name, name)
        self.who.setCurrentIndex(max(self.who.findData(chosen), 0))

    def _show(self) -> None:
        answers, total = self._asking.answers, self._asking.total
        ids = [shown.id for shown in answers]
        self.list.blockSignals(True)
        if ids != self._ids:
            self.list.clear()
            for _ in ids:
                self.list.addItem(QListWidgetItem())
            self._ids = ids
        for i, shown in enumerate(answers):
            self.list.item(i).setText(line_of(shown))
        self.list.blockSignals(False)
        shown_rows = min(len(ids), ROWS)
        self.list.setFixedHeight(
            shown_rows * max(self.list.sizeHintForRow(0), 30) + 4 if ids else 0
        )
        self.list.setVisible(bool(ids))
        for made in (self.search, self.who, self.task, self.rated):
            made.setVisible(total > 0)
        self._words.setText(EMPTY if not total else "" if ids else NONE_LEFT)
        self._words.setVisible(not ids)
        self._show_selected()

    def _show_selected(self) -> None:
        chosen = self._asking.selected
        if len(self.list.selectedItems()) < 2:
            self.list.blockSignals(True)
            self.list.clearSelection()
            if chosen is not None and chosen.id in self._ids:
                self.list.setCurrentRow(self._ids.index(chosen.id))
            self.list.blockSignals(False)
        self._show_compare()

    def _chosen(self) -> list[str]:
        return [self._ids[self.list.row(item)] for item in self.list.selectedItems()]

    def _choose(self) -> None:
        chosen = self._chosen()
        if len(chosen) == 1:
            self._asker.compare.close()
            self._asker.book.select(chosen[0])
        self._show_compare()

    def _show_compare(self) -> None:
        self._compare.setVisible(self._asking.ratings and len(self._chosen()) == 2)

    def _put_side_by_side(self) -> None:
        self._asker.compare.side_by_side(*self._chosen())


def _choice(name: str) -> QComboBox:
    made = QComboBox()
    made.setAccessibleName(name)
    made.setToolTip(name)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # a third each
    return made
