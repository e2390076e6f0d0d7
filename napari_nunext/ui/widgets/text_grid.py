"""A grid of words and figures, drawn anew each time."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nunext.ui.widgets.controls import Text, as_tip, set_property

NO_FIGURE = "\N{EN DASH}"


class TextGrid(QWidget):
    """The first column has the words and stretches; figures stand to the right in the others."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(0, 1)

    def clear(self) -> None:
        """Take out all that stands in it."""
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()

    def put(
        self,
        words: str,
        row: int,
        column: int,
        role: str = "",
        *,
        tip: str = "",
        wraps: bool = False,
    ) -> Text:
        """Put words into a cell; `role` is what the style sheet knows them by."""
        label = Text(words, wraps=wraps)
        label.setToolTip(as_tip(tip))
        set_property(label, "role", role)
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(label, row, column)
        return label

    def words(self) -> list[list[str]]:
        """What stands in the cells, row by row; rows without any are left out."""
        rows = []
        for i in range(self._grid.rowCount()):
            cells = [self._grid.itemAtPosition(i, j) for j in range(self._grid.columnCount())]
            texts = [item.widget() for item in cells if item is not None]
            if texts:
                rows.append([text.text() for text in texts if isinstance(text, Text)])
        return rows
