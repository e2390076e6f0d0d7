"""Figures of the old and the new answerer, side by side, with the answers behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.scores.falling import shown
from napari_nunext.ui.widgets.text_grid import NO_FIGURE, TextGrid

if TYPE_CHECKING:
    from napari_nunext.review.shown.taught import AnswerComparison, AnswerFigure, AnswerLine

HEADINGS = ("Kept aside", "Answers", "Before", "New")


class AnswersTable(TextGrid):
    """A row for each figure, and under it where 95 of 100 such figures lie, where that is known."""

    def show_figures(self, comparison: AnswerComparison) -> None:
        """Draw them anew."""
        self.clear()
        for column, heading in enumerate(HEADINGS):
            self.put(heading, 0, column, "section")
        for i, line in enumerate(comparison.lines):
            self._show_line(line, 1 + 2 * i)

    def _show_line(self, line: AnswerLine, row: int) -> None:
        self.put(line.name, row, 0, tip=line.meaning)
        self.put(str(line.answers), row, 1)
        figures = [each for each in (line.before, line.after) if each is not None]
        has_interval = any(each.interval is not None for each in figures)
        if has_interval:
            self.put("95 % interval", row + 1, 0, "muted")
        for column, figure in ((2, line.before), (3, line.after)):
            role = "worse" if column == 3 and line.is_worse else ""
            self.put(NO_FIGURE if figure is None else shown(figure.value), row, column, role)
            if has_interval:
                self.put(_interval(figure), row + 1, column, "muted")


def _interval(figure: AnswerFigure | None) -> str:
    if figure is None or figure.interval is None:
        return NO_FIGURE
    low, high = figure.interval
    return f"{shown(low)}\N{EN DASH}{shown(high)}"
