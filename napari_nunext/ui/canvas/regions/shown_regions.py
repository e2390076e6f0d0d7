"""Regions on the canvas: the layer comes with the first of them, and goes with the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.review.connections import Connections
from napari_nunext.ui.canvas.guarding import Drawing
from napari_nunext.ui.canvas.regions.regions_layer import NAME, RegionsLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components.layerlist import LayerList
    from napari.layers import Layer

    from napari_nunext.review.controller import ReviewController


class ShownRegions:
    """Keeps the layer of regions in step with `controller.regions.model`.

    Parameters
    ----------
    controller : ReviewController
    on_canvas : LayerList
        All layers of the viewer.
    changed : callable
        Called when the layer came or went; `layers` and `drawings` are others then.
    leave : callable
        Has the mouse and the keyboard work on the nuclei again.
    """

    def __init__(
        self,
        controller: ReviewController,
        on_canvas: LayerList,
        changed: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._model = controller.regions.model
        self._changed = changed
        self._on_canvas = on_canvas
        self._let_go = leave
        self._is_hidden = False
        self.made: RegionsLayer | None = None
        self._connections = Connections()
        call, events = self._connections.call, self._model.events
        call(self.show, events.figures, events.shown, events.kind)
        call(self._show_selected, events.selected)
        call(self._show_tool, events.tool)
        call(self._see, controller.view.model.events.view_box)
        call(self._leave, controller.view.model.events.tool)

    def disconnect(self) -> None:
        """Let go of the review."""
        self._connections.cut()
        self._drop()

    def layers(self) -> list[Layer]:
        """The layer, if it is there."""
        return [] if self.made is None else [self.made.layer]

    def drawings(self) -> list[Drawing]:
        """What it has to look like."""
        made = self.made
        if made is None:
            return []
        return [
            Drawing(
                layer=made.layer,
                name=NAME,
                may_be_untrue=made.may_be_untrue,
                is_true=lambda: made.is_in_hand() or made.is_true(),
                redraw=made.restore,
                has_mode=made.has_mode,
                rest=made.rest,
                words="The colour of a region says what it is for: the look was put right.",
                deleted="To delete a region, select it and press {delete}; "
                "to hide all, untick Regions.",
            )
        ]

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        if self.made is not None:
            self.made.pacer.flush()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        if self.made is not None:
            self.made.set_scale(mpp)

    def start_anew(self) -> None:
        """Another image: nothing of the old one's is kept."""
        self._controller.regions.choose_tool("")
        self._drop()
        self._changed()
        self.show()

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        self._is_hidden = hidden
        self._show_eye()

    # What the keys do

    @property
    def has_hand(self) -> bool:
        """Whether the mouse works on regions."""
        return bool(self._model.tool)

    def finish(self) -> bool:
        """Close the polygon that is being drawn; False where none is."""
        return self.made is not None and self.made.finish()

    def leave(self) -> None:
        """Give up what is being drawn, or else have the mouse work on the nuclei again."""
        if self.made is None or not self.made.give_up():
            self._controller.regions.select(None)
            self._controller.regions.choose_tool("")

    def delete_selected(self) -> None:
        """Delete the region that is selected."""
        if self._model.selected is not None:
            self._controller.regions.delete([self._model.selected])

    # From the review

    def show(self, *_: Any) -> None:
        """Follow the regions of the open image."""
        field, before = self._controller.images.model.open_field, self.made
        if field is None:
            return
        if self._model.figures or self._model.tool:
            if self.made is None:
                self.made = RegionsLayer(self._controller, field.entry.mpp)
            self.made.pacer.ask()
        else:
            self._drop()
        if self.made is not before:
            self._changed()
        self._show_eye()

    def _show_eye(self) -> None:
        if self.made is not None:
            self.made.show_eye(self._model.shown and not self._is_hidden)

    def _show_selected(self) -> None:
        if self.made is not None:
            self.made.pacer.ask()

    def _show_tool(self) -> None:
        self.show()
        if self.made is not None:
            self.made.show_tool()
        if not self._model.tool:
            self._let_go()
        elif self.made is not None and self.made.layer in self._on_canvas:
            self._on_canvas.selection.active = self.made.layer

    def _see(self) -> None:
        if self.made is not None:
            self.made.see()

    def _leave(self) -> None:
        """Another tool was taken."""
        if self._model.tool:
            self._controller.regions.choose_tool("")

    def _drop(self) -> None:
        if self.made is not None:
            self.made.stop()
        self.made = None
