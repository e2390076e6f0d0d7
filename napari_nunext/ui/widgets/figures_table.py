"""Figures of the old and the new model, side by side, with the nuclei behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.scores.falling import shown
from napari_nunext.ui.widgets.text_grid import NO_FIGURE, TextGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

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
EARLIER = "Tissue that it knew, drawn"
EARLIER_TIP = (
    "Drawn H&E tissue, as models of ours have learned from: what a training on other tissue makes "
    "a model forget is seen here. It was not learned from this time. A fall is sure to be one; no "
    "fall here is no proof for real tissue."
)


class FiguresTable(TextGrid):
    """Rows of all nuclei and of each category.

    Under each F1 stand precision and recall, and F1 by the other way to match: they differ by
    points, and figures of other people may be by either.
    """

    def show_figures(self, comparison: Comparison) -> None:
        """Draw them anew."""
        self.clear()
        earlier = comparison.earlier
        report = comparison.after or comparison.before or earlier.after or earlier.before
        within, tip = "", F1_TIP
        if report is not None:
            name, meaning = MATCHED[report.method]
            within = f" ({name}, {report.radius_um:g} \N{MICRO SIGN}m)"
            tip = f"{F1_TIP} {meaning}"
        for column, heading in enumerate(HEADINGS):
            words = heading if column else heading + within
            self.put(words, 0, column, "section", tip=tip)
        other = None if report is None or report.other is None else report.other.method
        row = self._show_lines(comparison.lines, other, 1)
        if earlier.lines:
            self.put(EARLIER, row, 0, "section", tip=EARLIER_TIP, wraps=True)
            self._show_lines(earlier.lines, other, row + 1)

    def _show_lines(self, lines: Sequence[Line], other: Method | None, row: int) -> int:
        """Draw lines from a row on; the next row that is free."""
        for line in lines:
            self._show_line(line, row)
            if other is not None:
                self._show_otherwise(line, other, row + 2)
            row += 3
        return row

    def _show_line(self, line: Line, row: int) -> None:
        self.put(line.name, row, 0, wraps=True)
        self.put(str(line.nuclei), row, 1)
        self.put("precision / recall", row + 1, 0, "muted")
        for column, score in ((2, line.before), (3, line.after)):
            role = "worse" if column == 3 and line.is_worse else ""
            figure, tip = NO_FIGURE if score is None else shown(score.f1), _counts(score)
            self.put(figure, row, column, role, tip=tip)
            self.put(_parts(score), row + 1, column, "muted", tip=tip)

    def _show_otherwise(self, line: Line, method: Method, row: int) -> None:
        name, meaning = MATCHED[method]
        self.put(f"F1 ({name})", row, 0, "muted", tip=meaning)
        for column, score in ((2, line.before_otherwise), (3, line.after_otherwise)):
            figure = "" if score is None else shown(score.f1)
            self.put(figure, row, column, "muted", tip=_counts(score))


def _parts(score: DetectionScore | None) -> str:
    if score is None:
        return ""
    return f"{shown(score.precision)} / {shown(score.recall)}"


def _counts(score: DetectionScore | None) -> str:
    if score is None:
        return ""
    found, true = score.tp + score.fp, score.tp + score.fn
    return (
        f"{score.tp} of the {found} points that it set are right; it found {score.tp} of {true} "
        "nuclei."
    )
