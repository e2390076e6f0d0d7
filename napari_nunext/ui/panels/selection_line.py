"""The line that says what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.selection import selection_words
from napari_nunext.ui.widgets.controls import Text

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController

NOTHING = "Nothing selected"
TOO_FAR = "Zoom in to see single nuclei"
"""Where the canvas shows how dense they are."""


class SelectionLine(Text):
    """Always there, so that nothing moves when something is selected."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__(role="muted", wraps=True)
        self._review = controller.model
        self._view = controller.view.model
        view = self._view.events
        connections.call(self._show, view.selected, view.sure_above, view.held)
        connections.call(self._show, self._review.events.state)
        self._show()

    def _show(self) -> None:
        view = self._view
        words = selection_words(self._review.table, view.selected, view.sure_above)
        self.setText(words or (TOO_FAR if view.held.too_many else NOTHING))
