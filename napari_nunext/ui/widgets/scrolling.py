"""Panels that scroll, and what lies on them does not turn with the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollArea, QScrollBar

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class _WheelGuard(QObject):
    """Leaves the wheel to the panel: a choice that turns under the mouse is not seen to change."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hand the wheel on to what the control lies on."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return super().eventFilter(watched, event)


def scrolling(panel: QWidget) -> QScrollArea:
    """A panel that is as wide as its place and as high as it likes."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(panel)
    guard_wheel(panel, area)
    return area


def guard_wheel(panel: QWidget, area: QScrollArea) -> None:
    """Leave the wheel over the controls of a panel to the area that it scrolls in."""
    guard = _WheelGuard(area)
    for kind in (QComboBox, QAbstractSlider, QAbstractSpinBox):
        for control in panel.findChildren(kind):
            if not isinstance(control, QScrollBar):
                control.installEventFilter(guard)
