"""All images of the queue with how far each is: type to find one, Enter or a click opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_nunext.review.names import shown_names
from napari_nunext.ui.widgets.controls import Card, Text
from napari_nunext.ui.widgets.theme import DOCK_NAME, dot_icon, style_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.shown.images import ItemStatus, Queue, QueueItem
    from napari_nunext.ui.widgets.theme import Palette

STATUS_WORDS: dict[ItemStatus, str] = {
    "waiting": "not opened yet",
    "open": "not accepted",
    "done": "accepted",
    "changed": "changed since accepted",
    "flagged": "flagged",
    "unreadable": "cannot be read",
}
ROOM = 38
"""Characters of a name."""
WIDTH_PX, FRAME_PX, ROW_PX = 450, 118, 24
"""The pop-up's least width, its height without rows, and the height of a row."""
MOST_ROWS = 14
STEPS = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -10, Qt.Key.Key_PageDown: 10}
NAME, STATUS = 0, 1


class ImageList(QDialog):
    """A pop-up with the queue.

    Parameters
    ----------
    parent : QWidget
        Whose window it belongs to.
    queue : Queue
        The images, as they are now.
    palette : Palette
        Its colours.
    chosen : callable
        Told the position of the image to open.
    """

    def __init__(
        self, parent: QWidget, queue: Queue, palette: Palette, chosen: Callable[[int], None]
    ) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName(DOCK_NAME)
        self.setStyleSheet(style_sheet(palette))
        self._queue = queue
        self._chosen = chosen
        self._filter = QLineEdit()
        self._filter.setPlaceholderText("Type a part of the name, or a status")
        self._filter.setClearButtonEnabled(True)
        self._filter.installEventFilter(self)
        self._rows = self._make_rows(palette)
        self._more = Text(role="muted", wraps=True)
        self._more.setMinimumHeight(32)
        card = Card()
        card.body.addWidget(self._filter)
        card.body.addWidget(self._rows, 1)
        card.body.addWidget(self._more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(card)
        self._fit()
        self._filter.textChanged.connect(self._narrow)
        self._rows.currentItemChanged.connect(self._describe)
        self._rows.itemClicked.connect(self._choose)
        self._make_current(self._rows.topLevelItem(queue.index or 0))
        self._filter.setFocus()

    def rows(self) -> list[tuple[str, str]]:
        """Name and status of what is listed."""
        return [(item.text(NAME), item.text(STATUS)) for item in self._listed()]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Walk the list, and choose from it, while a name is typed."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = Qt.Key(event.key())
            if key in STEPS:
                self._step(STEPS[key])
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._choose(self._rows.currentItem())
                return True
        return super().eventFilter(watched, event)

    def _make_rows(self, palette: Palette) -> QTreeWidget:
        rows = QTreeWidget()
        rows.setColumnCount(2)
        rows.setHeaderHidden(True)
        rows.setRootIsDecorated(False)
        rows.setUniformRowHeights(True)
        rows.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        rows.setTextElideMode(Qt.TextElideMode.ElideNone)
        rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        rows.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = rows.header()
        header.setStretchLastSection(True)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.ResizeToContents)
        colors = {
            "waiting": palette.line,
            "open": palette.muted,
            "done": palette.good,
            "flagged": palette.warn,
        }
        icons = {status: dot_icon(colors.get(status, palette.bad)) for status in STATUS_WORDS}
        names = shown_names(tuple(item.path for item in self._queue.items), ROOM)
        for i, (image, name) in enumerate(zip(self._queue.items, names, strict=True)):
            made = QTreeWidgetItem([f"{i + 1}   {name}", status_words(image)])
            made.setData(NAME, Qt.ItemDataRole.UserRole, i)
            made.setIcon(STATUS, icons[image.status])
            rows.addTopLevelItem(made)
        return rows

    def _fit(self) -> None:
        """Be as wide as the words: a large font or screen scale makes them wider than planned."""
        rows, at_most = self._rows, min(max(len(self._queue.items), 3), MOST_ROWS)
        self.ensurePolished()
        words_px = sum(rows.sizeHintForColumn(column) for column in (NAME, STATUS))
        frame_px = rows.width() - rows.viewport().width()
        rows.setMinimumWidth(words_px + frame_px + rows.verticalScrollBar().sizeHint().width())
        width_px = max(WIDTH_PX, self.minimumSizeHint().width())
        self.resize(width_px, FRAME_PX + at_most * ROW_PX)

    def _listed(self) -> list[QTreeWidgetItem]:
        items = (self._rows.topLevelItem(i) for i in range(self._rows.topLevelItemCount()))
        return [item for item in items if item is not None and not item.isHidden()]

    def _narrow(self, typed: str) -> None:
        words = typed.casefold().split()
        for i, image in enumerate(self._queue.items):
            text = f"{image.path} {status_words(image)}".casefold()
            item = self._rows.topLevelItem(i)
            assert item is not None
            item.setHidden(not all(word in text for word in words))
        listed = self._listed()
        if self._rows.currentItem() not in listed:
            self._make_current(listed[0] if listed else None)

    def _step(self, step: int) -> None:
        listed = self._listed()
        if listed:
            current = self._rows.currentItem()
            at = listed.index(current) if current in listed else 0
            self._rows.setCurrentItem(listed[min(max(at + step, 0), len(listed) - 1)])

    def _make_current(self, item: QTreeWidgetItem | None) -> None:
        self._rows.setCurrentItem(item)  # type: ignore[arg-type]  # Qt takes none

    def _describe(self, item: QTreeWidgetItem | None) -> None:
        image = self._image(item)
        self._more.setText("" if image is None else image.problem or str(image.path))

    def _choose(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.close()
            self._chosen(item.data(NAME, Qt.ItemDataRole.UserRole))

    def _image(self, item: QTreeWidgetItem | None) -> QueueItem | None:
        return (
            None if item is None else self._queue.items[item.data(NAME, Qt.ItemDataRole.UserRole)]
        )


def status_words(image: QueueItem) -> str:
    """How far the review of an image is."""
    return STATUS_WORDS[image.status]
