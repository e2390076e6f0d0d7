"""One sentence for the user, at most one button, another way to go on, and details on demand.

However much there is to say, the bar grows to `TALLEST_PX` and then scrolls: what the user decides
with stays in sight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_nunext.ui.widgets.controls import IconButton, Text, button, row, set_property
from napari_nunext.ui.widgets.scrolling import scrolling

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

    from napari_nunext.review.connections import Connections
    from napari_nunext.review.model import Notice, ReviewModel
    from napari_nunext.ui.widgets.theme import Palette

TALLEST_PX = 84
"""Five lines of words."""


class NoticeBar(QFrame):
    """Shows `ReviewModel.notice`; gone when there is none."""

    def __init__(self, model: ReviewModel, connections: Connections) -> None:
        super().__init__()
        self._model = model
        self.setProperty("role", "notice")
        self._words = Text(wraps=True)
        self._close = IconButton("close", "Dismiss", size_px=22)
        self._act = button("")
        self._other = button("", role="link")
        self._more = button("Details", role="link")
        self._details = Text(role="muted", wraps=True)
        self._details.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text = QWidget()
        column = QVBoxLayout(text)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._words)
        column.addWidget(self._details)
        self._text = scrolling(text)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 6, 6)
        layout.setSpacing(4)
        top = row(self._text, self._close, stretch=0, gap_px=4)
        top.setAlignment(self._close, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(top)
        buttons = row(self._act, self._other, self._more)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        self._act.clicked.connect(self._do)
        self._other.clicked.connect(self._do_other)
        self._more.clicked.connect(self._show_details)
        self._close.clicked.connect(self._dismiss)
        connections.call(self._show, self._model.events.notice)
        self._show(model.notice)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._close.set_palette(palette)

    def _show(self, notice: Notice | None) -> None:
        self.setVisible(notice is not None)
        if notice is None:
            return
        set_property(self, "level", notice.level)
        self._words.setText(notice.words)
        self._act.setText(notice.action_label)
        self._act.setVisible(notice.action is not None)
        self._other.setText(notice.other_label)
        self._other.setVisible(notice.other is not None)
        self._more.setVisible(bool(notice.details))
        self._details.setText(notice.details)
        self._details.hide()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self._fit()

    def _show_details(self) -> None:
        self._details.setVisible(not self._details.isVisible())
        self._fit()

    def _fit(self) -> None:
        """Be as high as the words need, up to the limit."""
        width_px = self._text.viewport().width()
        shown = [self._words] if self._details.isHidden() else [self._words, self._details]
        height_px = sum(label.heightForWidth(width_px) for label in shown) + 4 * (len(shown) - 1)
        self._text.setFixedHeight(min(height_px, TALLEST_PX))

    def _do(self) -> None:
        notice = self._model.notice
        self._dismiss()
        if notice is not None and notice.action is not None:
            notice.action()

    def _do_other(self) -> None:
        notice = self._model.notice
        self._dismiss()
        if notice is not None and notice.other is not None:
            notice.other()

    def _dismiss(self) -> None:
        self._model.notice = None
