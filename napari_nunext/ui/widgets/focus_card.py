"""A card that has the keyboard, and is seen to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QApplication, QWidget

from napari_nunext.ui.widgets.controls import Card, give_keyboard_back, set_property

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent, QResizeEvent


class FocusCard(Card):
    """A click on it, or on a button on it, brings the keyboard here; Esc gives it to the canvas."""

    resized = Signal()
    gone = Signal()
    """It went away with the keyboard, which Qt gives to whatever comes next."""

    def __init__(self, name: str) -> None:
        """A card that screen readers call `name`."""
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._follow)

    def setVisible(self, visible: bool) -> None:
        """Say so where the keyboard is lost."""
        has_it = bool(self.property("current")) and self.isVisible()
        super().setVisible(visible)
        if has_it and not visible:
            self.gone.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Give the keyboard back."""
        if event.key() == Qt.Key.Key_Escape:
            give_keyboard_back(self)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Say so: what shows the card may have to scroll."""
        super().resizeEvent(event)
        self.resized.emit()

    def _follow(self, _: QWidget | None, now: QWidget | None) -> None:
        has_it = now is not None and (now is self or self.isAncestorOf(now))
        set_property(self, "current", has_it)
