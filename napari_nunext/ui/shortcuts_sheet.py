"""The cheat sheet: every key on one card; any key or click closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QGridLayout, QVBoxLayout, QWidget

from napari_nunext.ui.widgets.controls import Card, Text, button, row
from napari_nunext.ui.widgets.theme import DOCK_NAME, style_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtGui import QKeyEvent

    from napari_nunext.ui.widgets.theme import Palette

    Groups = Mapping[str, Sequence[tuple[str, str]]]
    """Keys and words of each line, by its group."""


class ShortcutsSheet(QDialog):
    """A pop-up with the keys."""

    change_wanted = Signal()
    """The user wants other keys."""

    def __init__(self, parent: QWidget, groups: Groups, palette: Palette) -> None:
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
        change = button("Change keys\N{HORIZONTAL ELLIPSIS}", role="link")
        change.clicked.connect(self.close)
        change.clicked.connect(self.change_wanted.emit)
        where = Text("They work when the image has the focus: click on it once.", role="muted")
        card.body.addLayout(row(where, change, stretch=0))
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(5)
        card.body.addLayout(grid)
        count = sum(map(len, groups.values()))
        line, column, half = 0, 0, (count + len(groups)) // 2
        for group, members in groups.items():
            if line > half and not column:  # in two columns: a laptop's screen is low
                line, column = 0, 2
            line = _list(grid, group, members, line, column)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Any key closes it."""
        self.close()


def _list(
    grid: QGridLayout, group: str, members: Sequence[tuple[str, str]], line: int, column: int
) -> int:
    """Put the keys of one group into the grid; returns the line below them."""
    grid.addWidget(Text(group.upper(), role="section"), line, column, 1, 2)
    for at, (key_words, words) in enumerate(members, start=line + 1):
        key = Text(f" {key_words} ", role="badge")
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        key.setMinimumHeight(18)
        grid.addWidget(key, at, column)
        grid.addWidget(Text(words), at, column + 1)
    return line + 1 + len(members)
