"""The cheat sheet: every key on one card; any key or click closes it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QVBoxLayout, QWidget

from napari_nunext.ui.controls import Card, Text
from napari_nunext.ui.theme import DOCK_NAME, style_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent

    from napari_nunext.ui.keys import Binding
    from napari_nunext.ui.theme import Palette


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
        line = 0
        shown = [binding for binding in bindings if binding.shown]
        for group, members in groupby(shown, key=lambda binding: binding.group):
            grid.addWidget(Text(group.upper(), role="section"), line, 0, 1, 2)
            line += 1
            for binding in members:
                key = Text(f" {binding.shown} ", role="badge")
                key.setAlignment(Qt.AlignmentFlag.AlignCenter)
                key.setMinimumHeight(18)
                grid.addWidget(key, line, 0)
                grid.addWidget(Text(binding.words), line, 1)
                line += 1

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Any key closes it."""
        self.close()
