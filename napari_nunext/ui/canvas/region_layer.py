"""The rectangle that a user draws to search in it, with napari's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_nunext.ui.canvas.layers import box_from_napari, place, placement

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.controller import ReviewController

COLOR = "#35c0b4"
LINE_UM = 1.0


class RegionLayer:
    """A Shapes layer with one rectangle at most, and the review's region: the same.

    Parameters
    ----------
    controller : ReviewController
    mpp : float
        Scale of the open image.
    on_drawn : callable
        Called when a rectangle was drawn or changed.
    """

    def __init__(
        self, controller: ReviewController, mpp: float, on_drawn: Callable[[], None]
    ) -> None:
        self._controller = controller
        self._view = controller.view.model
        self._images = controller.images.model
        self._on_drawn = on_drawn
        self.layer = Shapes(
            ndim=2,
            name="Region",
            face_color="transparent",
            edge_color=COLOR,
            edge_width=LINE_UM / mpp,
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)
        self._view.events.region.connect(self._forget)

    def disconnect(self) -> None:
        """Let go of the review."""
        self._view.events.region.disconnect(self._forget)

    def draw(self) -> None:
        """Have the mouse draw a rectangle."""
        self.layer.mode = "add_rectangle"

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)

    def _on_data(self, event: Any) -> None:
        layer, field = self.layer, self._images.open_field
        if field is None or str(event.action) not in ("added", "changed"):
            return
        if len(layer.data) > 1:
            with layer.events.data.blocker():
                layer.data = layer.data[-1:]
        box = box_from_napari(layer.data[0]).clipped_to(field.box)
        if box.width > 1 and box.height > 1:
            self._controller.view.set_region(box)
            self._on_drawn()
            return
        # A click, or a drag beside the image: nothing is drawn, and the mouse still draws.
        with layer.events.data.blocker():
            layer.data = []
        self._controller.view.set_region(None)

    def _forget(self, region: object) -> None:
        if region is None and len(self.layer.data):
            with self.layer.events.data.blocker():
                self.layer.data = []
