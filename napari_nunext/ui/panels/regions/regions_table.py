"""The regions of the open image in a table: what each is for, how large it is, what lies in it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_nunext.core.shapes.regions import KIND_WORDS
from napari_nunext.review.correcting.figures import grouped
from napari_nunext.ui.canvas.regions.regions_layer import COLORS
from napari_nunext.ui.widgets.text_grid import NO_FIGURE
from napari_nunext.ui.widgets.theme import dot_icon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.review.shown.regions import RegionFigures

HEADINGS = ("Region", "mm\N{SUPERSCRIPT TWO}", "Nuclei", "per mm\N{SUPERSCRIPT TWO}")
NAME, AREA, NUCLEI, DENSITY = range(4)
ROW_PX, MOST_ROWS = 24, 9
UID = Qt.ItemDataRole.UserRole


class RegionsTable(QTreeWidget):
    """A row for each region, and under it, unfolded, one for each category in it."""

    chosen = Signal(object)
    """A region was clicked: its uid, or None."""
    renamed = Signal(object, str)

    def __init__(self) -> None:
        super().__init__()
        self._ours = False
        self.setColumnCount(len(HEADINGS))
        self.setHeaderLabels(list(HEADINGS))
        self.setUniformRowHeights(True)
        self.setIndentation(12)
        self.setAccessibleName("Regions")
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column in (AREA, NUCLEI, DENSITY):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        self.currentItemChanged.connect(self._on_current)
        self.itemChanged.connect(self._on_changed)
        self.itemExpanded.connect(self._fit)
        self.itemCollapsed.connect(self._fit)

    def show_figures(self, figures: Sequence[RegionFigures], selected: UUID | None) -> None:
        """Draw what is other than before, so that what is unfolded or typed stays."""
        before, self._ours = self._ours, True
        try:
            uids = [each.region.uid for each in figures]
            if [item.data(NAME, UID) for item in self._rows()] != uids:
                self.clear()
                for uid in uids:
                    item = QTreeWidgetItem()
                    item.setData(NAME, UID, uid)
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                    self.addTopLevelItem(item)
            for item, each in zip(self._rows(), figures, strict=True):
                _fill(item, each)
            self.show_selected(selected)
        finally:
            self._ours = before
        self._fit()

    def show_selected(self, uid: UUID | None) -> None:
        """Mark the row of a region."""
        before, self._ours = self._ours, True
        row = next((item for item in self._rows() if item.data(NAME, UID) == uid), None)
        if row is not self.currentItem():
            self.setCurrentItem(row)  # type: ignore[arg-type]  # Qt takes none
        self._ours = before

    def uid_at(self, item: QTreeWidgetItem | None) -> UUID | None:
        """The region of a row, or of the category's row under it."""
        while item is not None and item.parent() is not None:
            item = item.parent()
        uid = None if item is None else item.data(NAME, UID)
        return uid if isinstance(uid, UUID) else None

    def rename(self) -> None:
        """Let the name of the current region be typed."""
        item = self.currentItem()
        if item is not None and item.parent() is None:
            self.editItem(item, NAME)

    def cells(self) -> list[list[str]]:
        """What stands in the rows of regions."""
        return [[item.text(column) for column in range(len(HEADINGS))] for item in self._rows()]

    def _rows(self) -> list[QTreeWidgetItem]:
        items = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [item for item in items if item is not None]

    def _fit(self) -> None:
        """As high as its rows, up to a few."""
        shown = sum(1 + item.childCount() * item.isExpanded() for item in self._rows())
        height_px = self.header().sizeHint().height() + min(shown, MOST_ROWS) * ROW_PX + 4
        self.setFixedHeight(height_px)

    def _on_current(self, item: QTreeWidgetItem | None) -> None:
        if not self._ours:
            self.chosen.emit(self.uid_at(item))

    def _on_changed(self, item: QTreeWidgetItem, column: int) -> None:
        if not self._ours and column == NAME and item.parent() is None:
            self.renamed.emit(item.data(NAME, UID), item.text(NAME))


def _fill(item: QTreeWidgetItem, figures: RegionFigures) -> None:
    region, counts = figures.region, figures.counts
    cells = {
        NAME: region.name,
        AREA: short(figures.area_mm2),
        NUCLEI: NO_FIGURE if figures.nuclei is None else grouped(figures.nuclei),
        DENSITY: NO_FIGURE if figures.per_mm2 is None else grouped(round(figures.per_mm2)),
    }
    for column, text in cells.items():
        if item.text(column) != text:
            item.setText(column, text)
            item.setTextAlignment(column, _alignment(column))
    if item.toolTip(NAME) != (tip := f"{region.name}: {KIND_WORDS[region.kind].lower()}"):
        item.setToolTip(NAME, tip)
        item.setIcon(NAME, dot_icon(COLORS[region.kind]))
    rows = list((counts or {}).items())
    while item.childCount() > len(rows):
        item.takeChild(item.childCount() - 1)
    while item.childCount() < len(rows):
        item.addChild(QTreeWidgetItem())
    for number, (name, count) in enumerate(rows):
        child = item.child(number)
        assert child is not None
        density = grouped(round(count / figures.area_mm2))
        for column, text in ((NAME, name), (NUCLEI, grouped(count)), (DENSITY, density)):
            if child.text(column) != text:
                child.setText(column, text)
                child.setTextAlignment(column, _alignment(column))


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignLeft if column == NAME else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter


def short(area_mm2: float) -> str:
    """An area to two or three digits: ``0.012``, ``0.123``, ``123``."""
    digits = 2 if area_mm2 < 0.1 else 3
    return f"{area_mm2:.{digits}g}" if area_mm2 < 1000 else grouped(round(area_mm2))
