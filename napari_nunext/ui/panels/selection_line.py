"""The line that says what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.selection import selection_words
from napari_nunext.ui.widgets.controls import Text

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.model import ReviewModel

NOTHING = "Nothing selected"


class SelectionLine(Text):
    """Always there, so that nothing moves when something is selected."""

    def __init__(self, model: ReviewModel, connections: Connections) -> None:
        super().__init__(role="muted", wraps=True)
        self._model = model
        events = model.events
        connections.call(self._show, events.selected, events.state, events.sure_above)
        self._show()

    def _show(self) -> None:
        model = self._model
        words = selection_words(model.table, model.selected, model.sure_above)
        self.setText(words or NOTHING)
