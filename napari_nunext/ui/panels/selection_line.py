"""The line that says what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.selection import selection_words
from napari_nunext.ui.widgets.controls import Text

if TYPE_CHECKING:
    from napari_nunext.review.model import ReviewModel

NOTHING = "Nothing selected"


class SelectionLine(Text):
    """Always there, so that nothing moves when something is selected."""

    def __init__(self, model: ReviewModel) -> None:
        super().__init__(role="muted", wraps=True)
        self._model = model
        events = model.events
        for event in (events.selected, events.state, events.sure_above):
            event.connect(self._show)
        self._show()

    def disconnect_model(self) -> None:
        """Let go of the review."""
        events = self._model.events
        for event in (events.selected, events.state, events.sure_above):
            event.disconnect(self._show)

    def _show(self) -> None:
        model = self._model
        words = selection_words(model.state, model.selected, model.sure_above)
        self.setText(words or NOTHING)
