"""What is well and what is not, on the way to the model, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QVBoxLayout, QWidget

from napari_nunext.ui.panels.improving.improve_panel import CheckLine
from napari_nunext.ui.widgets.controls import Card, Text, button, row
from napari_nunext.ui.widgets.theme import DOCK_NAME, style_sheet

if TYPE_CHECKING:
    from qtpy.QtGui import QCloseEvent

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.find import Checkup
    from napari_nunext.ui.widgets.theme import Palette

WIDTH_PX = 380


class CheckupSheet(QDialog):
    """A pop-up that checks when it opens, and again when it is asked to."""

    def __init__(self, parent: QWidget, controller: ReviewController, palette: Palette) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName(DOCK_NAME)
        self.setStyleSheet(style_sheet(palette))
        self._model = controller.find.model
        self._palette = palette
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        self._card = card = Card()
        card.setFixedWidth(WIDTH_PX)
        outer.addWidget(card)
        card.body.setContentsMargins(18, 14, 18, 16)
        card.body.addWidget(Text("Model server", role="title"))
        self._words = Text(role="muted", wraps=True)
        card.body.addWidget(self._words)
        self._lines = QVBoxLayout()
        self._lines.setSpacing(6)
        card.body.addLayout(self._lines)
        self._again = button("Check again")
        self._restart = button("Restart the server")
        buttons = row(self._again, self._restart)
        buttons.addStretch(1)
        card.body.addLayout(buttons)
        self._again.clicked.connect(controller.find.check)
        self._restart.clicked.connect(controller.find.restart)
        self._restart.clicked.connect(self.close)
        self._model.events.checkup.connect(self._show)
        self._show(self._model.checkup)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Let go of the review."""
        self._model.events.checkup.disconnect(self._show)
        super().closeEvent(event)

    def _show(self, checkup: Checkup) -> None:
        while (item := self._lines.takeAt(0)) is not None:
            line = item.widget()
            if line is not None:
                line.hide()
                line.deleteLater()
        for check in checkup.checks:
            line = CheckLine(check, self._palette)
            self._lines.addWidget(line)
            line.show()  # now, for the size below counts what is shown
        running = checkup.phase == "running"
        self._words.setText(checkup.words)
        self._again.setEnabled(not running)
        self._restart.setVisible(not running and not checkup.well)
        self._card.body.activate()
        self.setFixedHeight(self._card.heightForWidth(WIDTH_PX))
