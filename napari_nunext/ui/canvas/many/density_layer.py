"""How dense nuclei lie, as an image under the outlines, where there are too many to draw each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_nunext.review.connections import Connections
from napari_nunext.review.correcting.density import Density
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.guarding import Drawing
from napari_nunext.ui.canvas.layers import Patch, place, placement
from napari_nunext.ui.napari_versions import drawn_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.canvas.guarding import LayerGuard

NAME = "Density"
REDRAW_EVERY_S = 0.3
HIGH_PERCENTILE = 99.9
"""Of the cells that have nuclei: from here on all look alike, for a few outliers would dim all."""
COLORS = (
    (0.0, 0.0, 0.0, 0.0),
    (0.13, 0.57, 0.55, 0.3),
    (0.21, 0.72, 0.47, 0.5),
    (0.99, 0.91, 0.14, 0.75),
)
"""Of viridis, and where there is nothing the tissue: green and yellow are no colours of stains."""
DELETED = "To hide it, untick Points; zoomed in, single nuclei are in its place."


class DensityLayer:
    """An Image layer that is there once an open field had too many nuclei in view.

    Parameters
    ----------
    controller : ReviewController
    guard : LayerGuard
    changed : callable
        Called when the layer came or went; `layers` and `drawings` are others then.
    """

    def __init__(
        self, controller: ReviewController, guard: LayerGuard, changed: Callable[[], None]
    ) -> None:
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._guard = guard
        self._changed = changed
        self._is_hidden = False
        self._density: Density | None = None
        self._counted: tuple[object, ...] = ()
        self._per_mm2: NDArray[np.float32] = np.zeros((1, 1), dtype=np.float32)
        self.layer: Image | None = None
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self._connections = Connections()
        view = self._view.events
        self._connections.call(self._follow_view, view.held, view.points)
        self._connections.call(self._follow_opacity, view.opacity)
        self._connections.call(self.pacer.ask, self._review.events.state, view.hidden_categories)
        self._connections.stop(self.pacer.stop)

    def disconnect(self) -> None:
        """Let go of the review."""
        self._connections.cut()

    def layers(self) -> list[Layer]:
        """The layer, where it is there."""
        return [] if self.layer is None else [self.layer]

    def drawings(self) -> list[Drawing]:
        """What it has to look like; how it is coloured is everybody's own."""
        layer = self.layer
        if layer is None:
            return []
        return [
            Drawing(
                layer=layer,
                name=NAME,
                may_be_untrue=lambda event: event == "data",
                is_true=lambda: layer.data is self._per_mm2,
                redraw=self.redraw,
                has_mode=lambda mode: mode == "pan_zoom",
                rest=lambda: setattr(layer, "mode", "pan_zoom"),
                words="The density is counted from the nuclei: the drawing was put right.",
                deleted=DELETED,
                patch=self._patch,
            )
        ]

    def start_anew(self) -> None:
        """Another image: nothing of the old one's is kept."""
        self.pacer.stop()
        self.layer = self._density = None
        self._changed()
        self._follow_view()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        if self.layer is not None:
            place(self.layer, mpp, self._patch())
            self._counted = ()
            self.redraw()

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        self._is_hidden = hidden
        self._follow_view()

    def redraw(self) -> None:
        """Count anew, where it is in sight."""
        self.pacer.stop()
        field, layer = self._controller.images.model.open_field, self.layer
        if field is None or layer is None or self._density is None or not layer.visible:
            return
        view = self._view
        self._counted = self._shown()
        self._per_mm2 = self._density.per_mm2(
            self._review.table, view.hidden_categories, field.entry.mpp
        )
        some = self._per_mm2[self._per_mm2 > 0]
        high = float(np.percentile(some, HIGH_PERCENTILE)) if len(some) else 1.0
        with self._guard.our_change(), drawn_once(layer):
            layer.data = self._per_mm2
            layer.contrast_limits = (0.0, max(high, 1.0))

    def _shown(self) -> tuple[object, ...]:
        """What the density is counted from; the same objects give the same."""
        return (self._review.table, self._view.hidden_categories, self._density)

    def _patch(self) -> Patch:
        return Patch() if self._density is None else Patch(step_px=self._density.step_px)

    def _follow_view(self, *_: Any) -> None:
        """Come into sight where single nuclei are too many."""
        is_wanted = self._view.held.too_many
        if is_wanted and self.layer is None:
            self._make()
        layer = self.layer
        if layer is None:
            return
        shown = is_wanted and self._view.points and not self._is_hidden
        if shown != layer.visible:
            with self._guard.our_change():
                layer.visible = shown
            if [*map(id, self._shown())] != [*map(id, self._counted)]:
                self.redraw()

    def _make(self) -> None:
        field = self._controller.images.model.open_field
        if field is None:
            return
        self._density = Density(field.box)
        self._per_mm2 = np.zeros(self._density.shape, dtype=np.float32)
        self.layer = Image(
            self._per_mm2,
            name=NAME,
            colormap=Colormap(COLORS, name="NuNext density"),
            contrast_limits=(0.0, 1.0),
            blending="translucent_no_depth",
            interpolation2d="linear",
            opacity=self._view.opacity,
            visible=False,
            **placement(field.entry.mpp, self._patch()),
        )
        self.layer.events.visible.connect(self._on_visible)
        self.layer.events.opacity.connect(self._on_opacity)
        self._changed()

    def _on_visible(self) -> None:
        """The eye of napari's list is the tick for points in the panel."""
        if not self._guard.is_ours and self.layer is not None:
            self._controller.view.show_points(self.layer.visible)
            self._follow_view()

    def _on_opacity(self) -> None:
        if not self._guard.is_ours and self.layer is not None:
            self._controller.view.set_opacity(self.layer.opacity)

    def _follow_opacity(self, opacity: float) -> None:
        if self.layer is not None:
            with self._guard.our_change():
                self.layer.opacity = opacity
