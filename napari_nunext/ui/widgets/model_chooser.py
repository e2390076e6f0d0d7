"""A choice of models whose names are shortened where they are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

ALIKE = 4
"""Names that share so many letters at the beginning are told apart by their ends."""


class ModelChooser(QComboBox):
    """Shows names whole in its list, and as much as fits of the chosen one."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        self.setAccessibleName("Model")

    def shown_name(self, width_px: int) -> str:
        """The chosen name in so many pixels: what others have too is left out first."""
        names = [self.itemText(i) for i in range(self.count())]
        mode = elision(self.currentText(), names)
        return self.fontMetrics().elidedText(self.currentText(), mode, width_px)

    def showPopup(self) -> None:
        """Show the list wide enough for every name."""
        view = self.view()
        view.setMinimumWidth(max(self.width(), view.sizeHintForColumn(0) + 24))
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw, with the name as it fits."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        option.currentText = self.shown_name(room.width() - 4)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()


def elision(name: str, names: list[str]) -> Qt.TextElideMode:
    """Which end of a name may be left out: the beginning, where another name has it too."""
    others = [other for other in names if other != name]
    alike = any(other[:ALIKE].casefold() == name[:ALIKE].casefold() for other in others)
    return Qt.TextElideMode.ElideLeft if alike else Qt.TextElideMode.ElideRight
