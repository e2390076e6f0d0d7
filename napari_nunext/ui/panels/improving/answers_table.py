"""Figures of the old and the new answerer, side by side, with the answers behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nunext.review.shown.taught import shown
from napari_nunext.ui.widgets.controls import Text, as_tip, set_property
from napari_nunext.ui.widgets.figures_table import NO_FIGURE

if TYPE_CHECKING:
    from napari_nunext.review.shown.taught import AnswerComparison, AnswerFigure, AnswerLine

HEADINGS = ("Kept aside", "Answers", "Before", "New")


class AnswersTable(QWidget):
    """A row for each figure, and under it where 95 of 100 such figures lie, where that is known."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(0, 1)

    def show_figures(self, comparison: AnswerComparison) -> None:
        """Draw them anew."""
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for column, heading in enumerate(HEADINGS):
            self._put(heading, 0, column, "section")
        for i, line in enumerate(comparison.lines):
            self._show_line(line, 1 + 2 * i)

    def words(self) -> list[list[str]]:
        """What stands in the cells, row by row."""
        rows = []
        for i in range(self._grid.rowCount()):
            cells = [self._grid.itemAtPosition(i, j) for j in range(len(HEADINGS))]
            widgets = [item.widget() for item in cells if item is not None]
            if widgets:
                rows.append([each.text() for each in widgets if isinstance(each, Text)])
        return rows

    def _show_line(self, line: AnswerLine, row: int) -> None:
        self._put(line.name, row, 0, tip=line.meaning)
        self._put(str(line.answers), row, 1)
        figures = [each for each in (line.before, line.after) if each is not None]
        has_interval = any(each.interval is not None for each in figures)
        if has_interval:
            self._put("95 % interval", row + 1, 0, "muted")
        for column, figure in ((2, line.before), (3, line.after)):
            role = "worse" if column == 3 and line.is_worse else ""
            self._put(NO_FIGURE if figure is None else shown(figure.value), row, column, role)
            if has_interval:
                self._put(_interval(figure), row + 1, column, "muted")

    def _put(self, words: str, row: int, column: int, role: str = "", tip: str = "") -> None:
        label = Text(words)
        label.setToolTip(as_tip(tip))
        set_property(label, "role", role)
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(label, row, column)


def _interval(figure: AnswerFigure | None) -> str:
    if figure is None or figure.interval is None:
        return NO_FIGURE
    low, high = figure.interval
    return f"{shown(low)}\N{EN DASH}{shown(high)}"
