"""Labelling index and H-score of the image and of each region, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_nunext.review.correcting.figures import grouped
from napari_nunext.ui.widgets.text_grid import NO_FIGURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.stains.figures import StainFigures

HEADINGS = ("", "Positive", "H-score")
NAME, INDEX, SCORE = range(3)
ROW_PX, MOST_ROWS = 24, 8
DASH = "\N{EN DASH}"


class StainTable(QTreeWidget):
    """A row for the image, and one for each region."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(len(HEADINGS))
        self.setHeaderLabels(list(HEADINGS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAccessibleName("Labelling index and H-score")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column in (INDEX, SCORE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight)

    def show_figures(self, figures: Sequence[StainFigures]) -> None:
        """Show these; a row that is there is written over."""
        while self.topLevelItemCount() > len(figures):
            self.takeTopLevelItem(self.topLevelItemCount() - 1)
        for at, each in enumerate(figures):
            item = self.topLevelItem(at)
            if item is None:
                item = QTreeWidgetItem()
                for column in (INDEX, SCORE):
                    item.setTextAlignment(
                        column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.addTopLevelItem(item)
            for column, (words, tip) in enumerate(_cells(each)):
                if item.text(column) != words:
                    item.setText(column, words)
                item.setToolTip(column, tip)
        height_px = (
            self.header().sizeHint().height() + min(max(len(figures), 1), MOST_ROWS) * ROW_PX + 4
        )
        self.setFixedHeight(height_px)

    def cells(self) -> list[list[str]]:
        """What stands in it, row by row."""
        items = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [[i.text(column) for column in range(len(HEADINGS))] for i in items if i is not None]


def _cells(each: StainFigures) -> tuple[tuple[str, str], ...]:
    index, score = each.index, each.score
    share, of_share, of_score = index.share, each.index_interval, each.score_interval
    positive = NO_FIGURE
    if share is not None and of_share is not None:
        positive = f"{share:.1%} ({of_share.low * 100:.1f}{DASH}{of_share.high * 100:.1f})"
    h = NO_FIGURE if score.score is None else f"{score.score:.0f}"
    if of_score is not None:
        h += f" ({of_score.low:.0f}{DASH}{of_score.high:.0f})"
    counts = f"{grouped(index.positive)} of {grouped(index.nuclei)} nuclei"
    between = "In brackets: 95 % interval, if other nuclei of the same tissue were counted."
    grades = ("negative", "weak", "moderate", "strong")
    graded = ", ".join(f"{grouped(n)} {g}" for n, g in zip(score.grades, grades, strict=True))
    return (
        (each.name, f"{each.name}: {counts}"),
        (positive, f"{counts} are positive. {between}"),
        (h, f"{graded}. {between}"),
    )
