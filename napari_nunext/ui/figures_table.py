"""Figures of the old and the new model, side by side, with the nuclei behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nunext.review.comparing import shown
from napari_nunext.ui.controls import Text, set_property

if TYPE_CHECKING:
    from napari_nunext.core.metrics import DetectionScore
    from napari_nunext.review.comparing import Comparison, Line

HEADINGS = ("F1", "Nuclei", "Before", "New")
"""The first says within what radius, too."""
F1_TIP = (
    "F1 is 1 where each nucleus was found, and nothing else: the balance of precision (the share "
    "of what it found that is right) and recall (the share of the nuclei that it found)."
)
NO_FIGURE = "\N{EN DASH}"


class FiguresTable(QWidget):
    """Rows of all nuclei and of each category; precision and recall stand under each F1."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(0, 1)

    def show_figures(self, comparison: Comparison) -> None:
        """Draw them anew."""
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        report = comparison.after or comparison.before
        within = "" if report is None else f" within {report.radius_um:g} \N{MICRO SIGN}m"
        for column, heading in enumerate(HEADINGS):
            label = self._put(heading + ("" if column else within), 0, column, "section")
            label.setToolTip(F1_TIP)
        for i, line in enumerate(comparison.lines):
            self._show_line(line, 1 + 2 * i)

    def words(self) -> list[list[str]]:
        """What stands in the cells, row by row."""
        rows = []
        for i in range(self._grid.rowCount()):
            cells = [self._grid.itemAtPosition(i, j) for j in range(len(HEADINGS))]
            texts = [item.widget() for item in cells if item is not None]
            if texts:
                rows.append([text.text() for text in texts if isinstance(text, Text)])
        return rows

    def _show_line(self, line: Line, row: int) -> None:
        self._put(line.name, row, 0, wraps=True)
        self._put(str(line.nuclei), row, 1)
        self._put("precision / recall", row + 1, 0, "muted")
        for column, score in ((2, line.before), (3, line.after)):
            role = "worse" if column == 3 and line.is_worse else ""
            figure = self._put(NO_FIGURE if score is None else shown(score.f1), row, column, role)
            parts = self._put("" if score is None else _parts(score), row + 1, column, "muted")
            for label in (figure, parts):
                label.setToolTip("" if score is None else _counts(score))

    def _put(
        self, words: str, row: int, column: int, role: str = "", *, wraps: bool = False
    ) -> Text:
        label = Text(words, wraps=wraps)
        set_property(label, "role", role)
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(label, row, column)
        return label


def _parts(score: DetectionScore) -> str:
    return f"{shown(score.precision)} / {shown(score.recall)}"


def _counts(score: DetectionScore) -> str:
    found, true = score.tp + score.fp, score.tp + score.fn
    return (
        f"{score.tp} of the {found} points that it set are right; it found {score.tp} of {true} "
        "nuclei."
    )
