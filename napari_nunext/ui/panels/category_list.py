"""The categories: key, colour, name, count, whether they are shown; and how many nuclei in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_nunext.review.correcting.figures import figures_of, grouped
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.panels.category_menu import category_menu
from napari_nunext.ui.widgets.controls import (
    ElidedText,
    EntryLine,
    IconButton,
    Text,
    as_tip,
    button,
    row,
    set_property,
)
from napari_nunext.ui.widgets.theme import dot_pixmap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtCore import QPoint
    from qtpy.QtGui import QContextMenuEvent, QMouseEvent

    from napari_nunext.core.nuclei import Category
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.widgets.theme import Palette

KEYS = 9
"""Categories that have a key of their own."""
SHOW_EVERY_S = 0.15
"""While the view moves, figures that change faster are not read."""


NOT_COUNTED = "Rejected nuclei do not count; hidden categories do."


class CategoryRow(QFrame):
    """One category."""

    clicked = Signal()
    menu_wanted = Signal(object)
    """What can be done to it; the place on the screen."""

    def __init__(self, number: int, category: Category, palette: Palette) -> None:
        super().__init__()
        self.name = category.name
        self.setProperty("role", "row")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        key = Text(str(number) if number <= KEYS else "", role="badge")
        key.setFixedSize(18, 18)
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        dot = QLabel()
        dot.setPixmap(dot_pixmap(category.color))
        self.count = Text()
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.in_view = Text(role="muted")
        self.in_view.setToolTip("In view")
        self.eye = IconButton("eye", f"Show or hide {category.name}", size_px=24).toggles("eye-off")
        self.eye.set_palette(palette)
        self.more = IconButton("more", f"Rename, recolour, merge or delete {category.name}")
        self.more.setFixedSize(24, 24)
        self.more.set_palette(palette)
        self.more.clicked.connect(
            lambda: self.menu_wanted.emit(self.more.mapToGlobal(self.more.rect().bottomLeft()))
        )
        name = ElidedText(category.name)
        layout = row(
            key, dot, name, self.in_view, self.count, self.more, self.eye, stretch=2, gap_px=6
        )
        layout.setContentsMargins(5, 1, 2, 1)
        self.setLayout(layout)
        self.setToolTip(as_tip(f"New and selected nuclei become {category.name}  ({number})"))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose it."""
        is_left = event.button() == Qt.MouseButton.LeftButton
        if is_left and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what can be done to it."""
        self.menu_wanted.emit(event.globalPos())


class CategoryList(QWidget):
    """All categories, and a way to add one."""

    def __init__(
        self, controller: ReviewController, palette: Palette, connections: Connections
    ) -> None:
        super().__init__()
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._palette = palette
        self._rows: list[CategoryRow] = []
        self._in_view: Mapping[str, int] | None = None
        self._add = button("+  Add a category", role="link", tip="A kind of nucleus to tell apart")
        self._editor = EntryLine("Name of the category, then Enter")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._layout.addWidget(self._add)
        self._layout.addWidget(self._editor)
        self._renamed = ""
        self._rename = EntryLine("New name of the category, then Enter")
        self._layout.addWidget(self._rename)
        self._rename.entered.connect(self._take_new_name)
        self._add.clicked.connect(self._editor.ask)
        self._editor.entered.connect(controller.categories.add)
        events = self._review.events
        connections.call(self._rebuild, events.categories)
        connections.call(self._show_current, events.current_category)
        connections.call(self._show_hidden, self._view.events.hidden_categories)
        connections.call(self._show_counts, events.state)
        self._rebuild()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        for made in self._rows:
            made.eye.set_palette(palette)
            made.more.set_palette(palette)

    def counts(self) -> dict[str, str]:
        """The number shown beside each category."""
        return {made.name: made.count.text() for made in self._rows}

    def show_in_view(self, counts: Mapping[str, int] | None) -> None:
        """How many of each are in view; None where that is all of them."""
        self._in_view = counts
        self._show_counts()

    def _rebuild(self) -> None:
        for made in self._rows:
            self._layout.removeWidget(made)
            made.hide()  # deletion waits for the event loop
            made.deleteLater()
        self._rows = [
            CategoryRow(i, category, self._palette)
            for i, category in enumerate(self._review.categories, start=1)
        ]
        for i, made in enumerate(self._rows):
            self._layout.insertWidget(i, made)
            made.clicked.connect(lambda name=made.name: self._controller.categories.choose(name))
            made.menu_wanted.connect(lambda place, made=made: self._show_menu(made, place))
            made.eye.toggled.connect(
                lambda shown, name=made.name: self._controller.categories.show(name, shown)
            )
        self._add.setVisible(bool(self._rows))
        self._show_current()
        self._show_hidden()
        self._show_counts()

    def _show_menu(self, made: CategoryRow, place: QPoint) -> None:
        name = made.name
        menu = category_menu(self, self._controller, name, rename=lambda: self._ask_name(name))
        menu.popup(place)

    def _ask_name(self, name: str) -> None:
        self._renamed = name
        self._rename.setText(name)
        self._rename.selectAll()
        self._rename.ask()

    def _take_new_name(self, name: str) -> None:
        self._controller.categories.rename(self._renamed, name)

    def _show_current(self) -> None:
        for made in self._rows:
            set_property(made, "current", made.name == self._review.current_category)

    def _show_hidden(self) -> None:
        for made in self._rows:
            made.eye.setChecked(made.name not in self._view.hidden_categories)

    def _show_counts(self) -> None:
        counted = self._review.table.counts()
        for made in self._rows:
            made.count.setText(grouped(counted.get(made.name, 0)))
            seen = self._in_view
            made.in_view.setText("" if seen is None else f"{grouped(seen.get(made.name, 0))} of")


class FiguresLine(ElidedText):
    """A line about the view, a tip about the field too, and the view's part of each category.

    They follow the view and the nuclei.
    """

    def __init__(
        self, controller: ReviewController, categories: CategoryList, connections: Connections
    ) -> None:
        super().__init__(role="muted")
        self.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._categories = categories
        self.pacer = Pacer(self._show, SHOW_EVERY_S)
        connections.call(
            self.pacer.ask,
            self._view.events.view_box,
            self._review.events.state,
            self._review.events.categories,
            self._images.events.open_field,
        )
        connections.stop(self.pacer.stop)
        self._show()

    def _show(self) -> None:
        field, table, view = self._images.open_field, self._review.table, self._view.view_box
        if field is None or not len(table):
            self.set_text("")
            self._categories.show_in_view(None)
            return
        mpp = field.entry.mpp
        whole = figures_of(table, field.box, field.box, mpp)
        in_view = whole if view is None else figures_of(table, view, field.box, mpp)
        is_all = view is None or view.covers(field.box)
        words = [f"Field: {whole.words}", NOT_COUNTED]
        if not is_all:
            words.insert(0, f"In view: {in_view.words}")
        self.set_text(whole.words if is_all else words[0])
        self.setToolTip(as_tip("\n".join(words)))
        self._categories.show_in_view(None if is_all else in_view.counts)
