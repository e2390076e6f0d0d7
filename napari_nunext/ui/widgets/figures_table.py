"""Figures of the old and the new model, side by side, with the nuclei behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nunext.review.outcome import shown
from napari_nunext.ui.widgets.controls import Text, set_property

if TYPE_CHECKING:
    from napari_nunext.core.scores.matching import Method
    from napari_nunext.core.scores.metrics import DetectionScore
    from napari_nunext.review.outcome import Comparison, Line

HEADINGS = ("F1", "Nuclei", "Before", "New")
"""The first says how points were matched, too, and within what radius."""
F1_TIP = (
    "F1 is 1 where each nucleus was found, and nothing else: the balance of precision (the share "
    "of what it found that is right) and recall (the share of the nuclei that it found)."
)
MATCHED = {
    "gated": (
        "gated",
        "Gated: each point is matched with one nucleus within the radius, as many as possible.",
    ),
    "hungarian": (
        "by Eq. 13",
        "By Eq. 13 of NuNext: points and nuclei are paired by the least total distance, and pairs "
        "beyond the radius are dropped afterwards. Lower where nuclei are crowded.",
    ),
}
"""What each way to match is called in the table, and what it is."""
NO_FIGURE = "\N{EN DASH}"


class FiguresTable(QWidget):
    """Rows of all nuclei and of each category.

    Under each F1 stand precision and recall, and F1 by the other way to match: they differ by
    points, and figures of other people may be by either.
    """

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
        within, tip = "", F1_TIP
        if report is not None:
            name, meaning = MATCHED[report.method]
            within = f" ({name}, {report.radius_um:g} \N{MICRO SIGN}m)"
            tip = f"{F1_TIP} {meaning}"
        for column, heading in enumerate(HEADINGS):
            words = heading if column else heading + within
            label = self._put(words, 0, column, "section")
            label.setToolTip(tip)
        other = None if report is None or report.other is None else report.other.method
        row = 1
        for line in comparison.lines:
            self._show_line(line, row)
            if other is not None:
                self._show_otherwise(line, other, row + 2)
            row += 3

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

    def _show_otherwise(self, line: Line, method: Method, row: int) -> None:
        name, meaning = MATCHED[method]
        self._put(f"F1 ({name})", row, 0, "muted").setToolTip(meaning)
        for column, score in ((2, line.before_otherwise), (3, line.after_otherwise)):
            figure = self._put("" if score is None else shown(score.f1), row, column, "muted")
            figure.setToolTip("" if score is None else _counts(score))

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
