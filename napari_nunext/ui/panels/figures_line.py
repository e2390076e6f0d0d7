"""How many nuclei there are and how dense they lie: in what is in view, and in the whole field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from napari_nunext.review.correcting.figures import figures_of
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.widgets.controls import ElidedText, as_tip

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.panels.category_list import CategoryList

SHOW_EVERY_S = 0.15
"""While the view moves, figures that change faster are not read."""


NOT_COUNTED = "Rejected nuclei do not count; hidden categories do."


class FiguresLine(ElidedText):
    """A line about the view, a tip about the field too, and the view's part of each category.

    They follow the view and the nuclei.
    """

    def __init__(
        self, controller: ReviewController, categories: CategoryList, connections: Connections
    ) -> None:
        super().__init__(role="muted")
        self.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._categories = categories
        self.pacer = Pacer(self._show, SHOW_EVERY_S)
        connections.call(
            self.pacer.ask,
            self._view.events.view_box,
            self._review.events.state,
            self._review.events.categories,
            self._images.events.open_field,
        )
        connections.stop(self.pacer.stop)
        self._show()

    def _show(self) -> None:
        field, table, view = self._images.open_field, self._review.table, self._view.view_box
        if field is None or not len(table):
            self.set_text("")
            self._categories.show_in_view(None)
            return
        mpp = field.entry.mpp
        whole = figures_of(table, field.box, field.box, mpp)
        in_view = whole if view is None else figures_of(table, view, field.box, mpp)
        is_all = view is None or field.box.clipped_to(view) == field.box
        words = [f"Field: {whole.words}", NOT_COUNTED]
        if not is_all:
            words.insert(0, f"In view: {in_view.words}")
        self.set_text(whole.words if is_all else words[0])
        self.setToolTip(as_tip("\n".join(words)))
        self._categories.show_in_view(None if is_all else in_view.counts)
