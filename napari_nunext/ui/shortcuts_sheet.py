"""The cheat sheet: every key on one card; any key or click closes it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QVBoxLayout, QWidget

from napari_nunext.ui.widgets.controls import Card, Text
from napari_nunext.ui.widgets.theme import DOCK_NAME, style_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent

    from napari_nunext.ui.keys import Binding
    from napari_nunext.ui.widgets.theme import Palette


class ShortcutsSheet(QDialog):
    """A pop-up with the keys."""

    def __init__(self, parent: QWidget, bindings: Sequence[Binding], palette: Palette) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName(DOCK_NAME)
        self.setStyleSheet(style_sheet(palette))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        card = Card()
        outer.addWidget(card)
        card.body.setContentsMargins(18, 14, 18, 16)
        card.body.addWidget(Text("Keys", role="title"))
        card.body.addWidget(
            Text("They work when the image has the focus: click on it once.", role="muted")
        )
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(5)
        card.body.addLayout(grid)
        shown = [binding for binding in bindings if binding.shown]
        groups = [list(members) for _, members in groupby(shown, key=lambda b: b.group)]
        line, column, half = 0, 0, (len(shown) + len(groups)) // 2
        for members in groups:
            if line > half and not column:  # in two columns: a laptop's screen is low
                line, column = 0, 2
            line = _list(grid, members, line, column)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Any key closes it."""
        self.close()


def _list(grid: QGridLayout, members: Sequence[Binding], line: int, column: int) -> int:
    """Put the keys of one group into the grid; returns the line below them."""
    grid.addWidget(Text(members[0].group.upper(), role="section"), line, column, 1, 2)
    for row, binding in enumerate(members, start=line + 1):
        key = Text(f" {binding.shown} ", role="badge")
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        key.setMinimumHeight(18)
        grid.addWidget(key, row, column)
        grid.addWidget(Text(binding.words), row, column + 1)
    return line + 1 + len(members)
