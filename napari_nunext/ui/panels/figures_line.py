"""How many nuclei there are and how dense they lie: in what is in view, and in the whole field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.figures import figures_of
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.widgets.controls import Text, as_tip

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.panels.category_list import CategoryList

SHOW_EVERY_S = 0.15
"""While the view moves, figures that change faster are not read."""


class FiguresLine(Text):
    """Two lines, and the view's numbers beside the categories; they follow view and nuclei."""

    def __init__(
        self, controller: ReviewController, categories: CategoryList, connections: Connections
    ) -> None:
        super().__init__(role="muted", wraps=True)
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._categories = categories
        self.setToolTip(as_tip("Rejected nuclei do not count; hidden categories do"))
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
        self.setVisible(field is not None and len(table) > 0)
        if field is None:
            self._categories.show_in_view(None)
            return
        mpp = field.entry.mpp
        words = [f"Field: {figures_of(table, field.box, field.box, mpp).words}"]
        in_view = None
        if view is not None:
            in_view = figures_of(table, view, field.box, mpp)
            words.insert(0, f"In view: {in_view.words}")
            if field.box.clipped_to(view) == field.box:
                in_view = None  # the same as those of the field
        self.setText("\n".join(words))
        self._categories.show_in_view(None if in_view is None else in_view.counts)
