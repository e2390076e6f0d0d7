"""The line that says what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.selection import selection_words
from napari_nunext.ui.widgets.controls import Text

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController

NOTHING = "Nothing selected"


class SelectionLine(Text):
    """Always there, so that nothing moves when something is selected."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__(role="muted", wraps=True)
        self._review = controller.model
        self._view = controller.view.model
        connections.call(self._show, self._view.events.selected, self._view.events.sure_above)
        connections.call(self._show, self._review.events.state)
        self._show()

    def _show(self) -> None:
        view = self._view
        words = selection_words(self._review.table, view.selected, view.sure_above)
        self.setText(words or NOTHING)
