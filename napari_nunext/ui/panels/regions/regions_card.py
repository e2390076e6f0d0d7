"""Regions of the Review tab: draw, name, choose what each is for, and see what lies in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QCheckBox, QMenu

from napari_nunext.core.shapes.regions import KIND_WORDS, KINDS
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.panels.regions.regions_table import RegionsTable
from napari_nunext.ui.widgets.asking import ask_for_file, ask_where, kinds_of
from napari_nunext.ui.widgets.controls import Card, IconButton, Segments, Text, button, row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from qtpy.QtCore import QPoint

    from napari_nunext.core.shapes.regions import RegionKind
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.regions import RegionTool
    from napari_nunext.ui.widgets.theme import Palette

LABELS: dict[RegionKind, str] = {
    "search": "Search here",
    "leave_out": "Leave out",
    "interest": "Of interest",
}
KIND_TIPS: dict[RegionKind, str] = {
    "search": "A place to search: choose Regions above Find nuclei",
    "leave_out": "Never searched: nothing is found there",
    "interest": "Counted: nuclei, density, categories",
}
TOOLS: tuple[tuple[RegionTool, ...], ...] = (
    ("", "select", "corners"),
    ("rectangle", "polygon", "freehand"),
)
TOOL_LABELS = (("View", "Select", "Corners"), ("Rectangle", "Polygon", "Freehand"))
TOOL_TIPS = (
    (
        "Drag to move the view  ({rest})",
        "Click a region; drag it to move it, its handles to resize or turn it",
        "Drag the corners of the selected region",
    ),
    (
        "Draw: drag a rectangle  ({region_rectangle})",
        "Draw: click corner by corner; a double click or {accept} closes  ({region_polygon})",
        "Draw: drag round it",
    ),
)
FILE_KINDS = ".geojson", ".json"


class RegionsCard(Card):
    """All of it."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._regions = controller.regions
        self._files = controller.region_files
        self._images = controller.images.model
        self._model = controller.regions.model
        self._shown = QCheckBox("Show")
        self._shown.setToolTip("Whether regions are drawn on the image")
        self._more = IconButton("more", "More for regions", size_px=24)
        self._kinds = Segments([LABELS[kind] for kind in KINDS])
        for i, kind in enumerate(KINDS):
            self._kinds.set_enabled(i, True, KIND_TIPS[kind])
        self._tools = tuple(map(Segments, TOOL_LABELS))
        connections.call(self._show_keys, KEYS.changed)
        self._show_keys()
        self._tissue = button(
            "Outline tissue", tip="Draw a region to search round each piece of tissue; ink is not"
        )
        self._copy = button("Copy table", tip="For a spreadsheet")
        self.table = RegionsTable()
        title = Text("REGIONS", role="section")
        self.body.addLayout(row(title, self._shown, self._more, stretch=0, gap_px=6))
        for choice in (self._tools[0], self._kinds, self._tools[1]):
            self.body.addWidget(choice)
        self.body.addLayout(row(self._tissue, self._copy, gap_px=6))
        self.body.addWidget(self.table)
        self._shown.toggled.connect(self._regions.show)
        self._more.clicked.connect(
            lambda: self._menu().popup(self._more.mapToGlobal(self._more.rect().bottomLeft()))
        )
        self._kinds.chosen.connect(lambda i: self._regions.choose_kind(KINDS[i]))
        for tools, names in zip(self._tools, TOOLS, strict=True):
            tools.chosen.connect(partial(self._choose_tool, names))
        self._tissue.clicked.connect(self._files.outline_tissue)
        self._copy.clicked.connect(self.copy)
        self.table.chosen.connect(self._regions.select)
        self.table.renamed.connect(self._rename)
        self.table.customContextMenuRequested.connect(self._show_menu_of)
        events = self._model.events
        connections.call(self._show_figures, events.figures)
        connections.call(self._show_selected, events.selected)
        connections.call(self._show_tools, events.tool, events.kind, events.shown)
        connections.call(self._show_finding, events.finding_tissue)
        self._show_figures()
        self._show_tools()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._more.set_palette(palette)

    def copy(self) -> None:
        """Put the table on the clipboard."""
        QApplication.clipboard().setText(self._regions.as_table())

    # Showing

    def _show_keys(self) -> None:
        for tools, tips in zip(self._tools, TOOL_TIPS, strict=True):
            for i, tip in enumerate(tips):
                tools.set_enabled(i, True, KEYS.words(tip))

    def _show_figures(self) -> None:
        figures = self._model.figures
        self.table.show_figures(figures, self._model.selected)
        self.table.setVisible(bool(figures))
        self._copy.setVisible(bool(figures))

    def _show_selected(self) -> None:
        self.table.show_selected(self._model.selected)

    def _show_tools(self) -> None:
        for tools, names in zip(self._tools, TOOLS, strict=True):
            if self._model.tool in names:
                tools.choose(names.index(self._model.tool))
            else:
                tools.choose_none()
        self._kinds.choose(KINDS.index(self._model.kind))
        self._shown.setChecked(self._model.shown)

    def _show_finding(self, finding: bool) -> None:
        self._tissue.setEnabled(not finding)
        words = "Looking\N{HORIZONTAL ELLIPSIS}" if finding else "Outline tissue"
        self._tissue.setText(words)

    # What can be done

    def _choose_tool(self, names: Sequence[RegionTool], index: int) -> None:
        self._regions.choose_tool(names[index])

    def _rename(self, uid: object, name: str) -> None:
        self._regions.rename(uid, name)  # type: ignore[arg-type]
        self._show_figures()  # where the name was refused, the old one

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        if self._model.selected is not None:
            self._fill(menu, self._model.selected)
            menu.addSeparator()
        has_any = bool(self._model.figures)
        menu.addAction("Read from a file (GeoJSON)\N{HORIZONTAL ELLIPSIS}", self._read)
        for words, act in (
            ("Write to a file (GeoJSON)\N{HORIZONTAL ELLIPSIS}", self._write),
            ("Delete all", self._delete_all),
        ):
            menu.addAction(words, act).setEnabled(has_any)
        return menu

    def _show_menu_of(self, place: QPoint) -> None:
        uid = self.table.uid_at(self.table.itemAt(place))
        if uid is None:
            return
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        self._fill(menu, uid)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _fill(self, menu: QMenu, uid: UUID) -> None:
        """What can be done to a region."""
        region = next((each for each in self._model.regions if each.uid == uid), None)
        if region is None:
            return
        menu.addAction(f"Rename {region.name}", self.table.rename)
        for kind in KINDS:
            action = menu.addAction(KIND_WORDS[kind], partial(self._regions.set_kind, uid, kind))
            action.setCheckable(True)
            action.setChecked(kind == region.kind)
        menu.addAction("Delete", lambda: self._regions.delete([uid]))

    def _delete_all(self) -> None:
        self._regions.delete([each.uid for each in self._model.regions])

    def _read(self) -> None:
        path = ask_for_file(self, "Read regions", kinds_of("Regions", FILE_KINDS))
        if path is not None:
            self._files.read(path)

    def _write(self) -> None:
        field = self._images.open_field
        if field is None:
            return
        path = ask_where(
            self,
            "Write regions",
            suggested=str(Path(field.entry.path).with_suffix(".regions.geojson")),
            kinds="GeoJSON (*.geojson)",
        )
        if path is not None:
            self._files.write(path)
