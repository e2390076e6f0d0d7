"""What is higher than its place: panels scroll, a window stays within its screen.

What lies on a panel that scrolls does not turn with the wheel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollArea,
    QScrollBar,
    QStyle,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QRect
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


def soon(owner: QObject, act: Callable[[], object]) -> None:
    """Do something when what was begun is laid out, if its owner is still there then.

    `QTimer.singleShot` takes an owner in PySide6 alone.
    """
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(act)
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)


def fit_screen_soon(window: QWidget) -> None:
    """Fit it when what was begun is laid out: a window does not shrink before."""
    soon(window, lambda: fit_screen(window, window.screen().availableGeometry()))


def fit_screen(window: QWidget, free: QRect) -> None:
    """Make a window no larger than its screen.

    napari opens with a size that a screen at 200 % may not have, and what is docked below something
    else makes it grow.
    """
    if window.isMaximized() or window.isFullScreen():
        return
    title_px = window.style().pixelMetric(QStyle.PixelMetric.PM_TitleBarHeight)
    # Before the window is shown, what is around it is not known.
    around = (window.frameGeometry().size() - window.size()).expandedTo(QSize(0, title_px))
    wanted = window.size().boundedTo(free.size() - around)
    if wanted != window.size():
        window.resize(wanted)
