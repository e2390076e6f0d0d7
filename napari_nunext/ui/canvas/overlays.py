"""Whether points and outlines are seen: napari's eye and slider, and the panel's, the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Labels, Points

    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.canvas.guarding import LayerGuard


class Overlays:
    """Keeps the eyes and the opacity of the layers over the image in step with the review.

    Parameters
    ----------
    controller : ReviewController
    guard : LayerGuard
    outlines, nuclei : Layer
    connections : Connections
        How long it hears of the review.
    """

    def __init__(
        self,
        controller: ReviewController,
        guard: LayerGuard,
        outlines: Labels,
        nuclei: Points,
        connections: Connections,
    ) -> None:
        self._controller = controller
        self._view = controller.view.model
        self._guard = guard
        self._outlines = outlines
        self._nuclei = nuclei
        self._show_outlines(self._view.outlines)
        self._show_points(self._view.points)
        self._show_opacity(self._view.opacity)
        for layer in (outlines, nuclei):
            layer.events.visible.connect(self._on_visible)
            layer.events.opacity.connect(self._on_opacity)
        events = self._view.events
        connections.call(self._show_outlines, events.outlines)
        connections.call(self._show_points, events.points)
        connections.call(self._show_opacity, events.opacity)

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone, or what the panel has ticked again."""
        with self._guard.our_change():
            self._outlines.visible = not hidden and self._view.outlines
            self._nuclei.visible = not hidden and self._view.points

    def _on_visible(self, event: Any) -> None:
        """The eye of napari's list is the tick in the panel."""
        if self._guard.is_ours:
            return
        shown = event.source.visible
        if event.source is self._nuclei:
            self._controller.view.show_points(shown)
        else:
            self._controller.view.show_outlines(shown)

    def _on_opacity(self, event: Any) -> None:
        """Napari's slider is the one in the panel."""
        if not self._guard.is_ours:
            self._controller.view.set_opacity(event.source.opacity)

    def _show_outlines(self, shown: bool) -> None:
        with self._guard.our_change():
            self._outlines.visible = shown

    def _show_points(self, shown: bool) -> None:
        with self._guard.our_change():
            self._nuclei.visible = shown
        self._show_opacity(self._view.opacity)

    def _show_opacity(self, opacity: float) -> None:
        """Points that are hidden get theirs when they are shown.

        For its thumbnail napari would look at the points that were in view when they were hidden.
        """
        with self._guard.our_change():
            self._outlines.opacity = opacity
            if self._nuclei.visible:
                self._nuclei.opacity = opacity
