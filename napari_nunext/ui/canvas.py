"""What the review puts on napari's canvas: image, outlines, nuclei, and a region to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes

from napari_nunext.ui.layers import box_from_napari, place, placement, world_of
from napari_nunext.ui.napari_versions import camera_of, show_scale_bar
from napari_nunext.ui.outlines_layer import OutlinesLayer
from napari_nunext.ui.points_layer import NucleiLayer

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.model import OpenField

REGION_COLOR = "#35c0b4"
REGION_LINE_UM = 1.0
CLOSE_PX_PER_UM = 6.0
"""Zoom from which a nucleus can be judged: screen pixels per um."""


class Canvas:
    """Owns the layers of the open image and keeps them in step with the review."""

    def __init__(self, viewer: Viewer, controller: ReviewController) -> None:
        self._viewer = viewer
        self._controller = controller
        self._model = controller.model
        self._shown: OpenField | None = None
        self.image: Image | None = None
        self.outlines: OutlinesLayer | None = None
        self.nuclei: NucleiLayer | None = None
        self.region: Shapes | None = None
        events = self._model.events
        events.open_field.connect(self.show_field)
        events.state.connect(self._redraw)
        for event in (events.sure_above, events.hidden_categories):
            event.connect(self._redraw)
        events.categories.connect(self._recolor)
        events.selected.connect(self._select)
        events.tool.connect(self._show_tool)
        events.outlines.connect(self._show_outlines)
        events.region.connect(self._forget_region)
        controller.focus_requested.connect(self.look_at)

    def layers(self) -> list[Layer]:
        """Our layers, bottom up."""
        ours = (
            self.image,
            self.outlines and self.outlines.layer,
            self.region,
            self.nuclei and self.nuclei.layer,
        )
        return [layer for layer in ours if layer is not None]

    def is_active(self) -> bool:
        """Whether the keyboard and the mouse work on a layer of ours."""
        active = self._viewer.layers.selection.active
        return active is not None and any(active is layer for layer in self.layers())

    def disconnect(self) -> None:
        """Let go of the review."""
        if self.nuclei is not None and self.outlines is not None:
            self.nuclei.pacer.stop()
            self.outlines.pacer.stop()
        events = self._model.events
        events.open_field.disconnect(self.show_field)
        events.state.disconnect(self._redraw)
        events.sure_above.disconnect(self._redraw)
        events.hidden_categories.disconnect(self._redraw)
        events.categories.disconnect(self._recolor)
        events.selected.disconnect(self._select)
        events.tool.disconnect(self._show_tool)
        events.outlines.disconnect(self._show_outlines)
        events.region.disconnect(self._forget_region)
        self._controller.focus_requested.disconnect(self.look_at)

    # The open image

    def show_field(self, field: OpenField | None) -> None:
        """Put an image on the canvas, or another scale under the one that is there."""
        if field is None:
            return
        mpp = field.entry.mpp
        if self._shown is not None and self._shown.rgb is field.rgb:
            self._rescale(mpp)
        elif self.image is None or self.image not in self._viewer.layers:
            self._add_layers(field)
        else:
            self.image.data = field.rgb
            self.image.name = field.entry.name
            place(self.image, mpp)
            self._the_outlines().show_field(field)
            self._the_nuclei().set_scale(mpp)
            self._the_nuclei().redraw()
        if self._shown is None or self._shown.rgb is not field.rgb:
            self._viewer.reset_view()
        self._shown = field
        self.focus()

    def focus(self) -> None:
        """Make the nuclei the layer that the keyboard and the mouse work on."""
        if self.nuclei is not None:
            self._viewer.layers.selection.active = self.nuclei.layer

    def _add_layers(self, field: OpenField) -> None:
        mpp = field.entry.mpp
        self.image = Image(field.rgb, name=field.entry.name, rgb=True, **placement(mpp))
        self.outlines = OutlinesLayer(self._model, field)
        self.outlines.layer.visible = self._model.outlines
        self.nuclei = NucleiLayer(self._controller, mpp)
        for layer in (self.image, self.outlines.layer, self.nuclei.layer):
            self._viewer.add_layer(layer)
        show_scale_bar(self._viewer)

    def _rescale(self, mpp: float) -> None:
        if self.image is None:
            return
        place(self.image, mpp)
        self._the_outlines().set_scale(mpp)
        self._the_nuclei().set_scale(mpp)
        if self.region is not None:
            place(self.region, mpp)
        self._viewer.reset_view()

    def _the_outlines(self) -> OutlinesLayer:
        assert self.outlines is not None
        return self.outlines

    def _the_nuclei(self) -> NucleiLayer:
        assert self.nuclei is not None
        return self.nuclei

    # News of the review

    def _redraw(self) -> None:
        if self._shown is None or self._shown is not self._model.open_field:
            return  # the image comes first
        self._the_nuclei().pacer.ask()
        self._the_outlines().pacer.ask()

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        if self.nuclei is not None and self.outlines is not None:
            self.nuclei.pacer.flush()
            self.outlines.pacer.flush()

    def _recolor(self) -> None:
        if self._shown is not None:
            self._the_nuclei().redraw()
            self._the_outlines().recolor()

    def _select(self) -> None:
        if self.nuclei is not None:
            self.nuclei.redraw_selection()
            self._the_outlines().pacer.ask()

    def _show_tool(self) -> None:
        if self.nuclei is not None:
            self.focus()
            self.nuclei.show_tool()

    def _show_outlines(self, shown: bool) -> None:
        if self.outlines is not None:
            self.outlines.layer.visible = shown

    def look_at(self, x_px: float, y_px: float) -> None:
        """Bring a place to the middle of the canvas, near enough to judge a nucleus."""
        field = self._model.open_field
        if field is None:
            return
        row, column = world_of(x_px, y_px, field.entry.mpp)
        camera = camera_of(self._viewer)
        camera.center = (row, column)
        camera.zoom = max(camera.zoom, CLOSE_PX_PER_UM)

    # Drawing a region

    def draw_region(self) -> None:
        """Let the user draw the rectangle to search."""
        field = self._model.open_field
        if field is None:
            return
        if self.region is None or self.region not in self._viewer.layers:
            self.region = Shapes(
                ndim=2,
                name="Region",
                face_color="transparent",
                edge_color=REGION_COLOR,
                edge_width=REGION_LINE_UM / field.entry.mpp,
                **placement(field.entry.mpp),
            )
            self.region.events.data.connect(self._on_region)
            self._viewer.add_layer(self.region)
        self._viewer.layers.selection.active = self.region
        self.region.mode = "add_rectangle"

    def _on_region(self, event: Any) -> None:
        region, field = self.region, self._model.open_field
        if region is None or field is None or str(event.action) not in ("added", "changed"):
            return
        if len(region.data) > 1:
            with region.events.data.blocker():
                region.data = region.data[-1:]
        box = box_from_napari(region.data[0]).clipped_to(field.box)
        self._controller.set_region(box if box.width > 1 and box.height > 1 else None)
        self.focus()

    def _forget_region(self, region: object) -> None:
        if region is None and self.region is not None and len(self.region.data):
            with self.region.events.data.blocker():
                self.region.data = []

    # Overlays

    def show_points(self, shown: bool) -> None:
        """Show or hide the points."""
        if self.nuclei is not None:
            self.nuclei.layer.visible = shown

    def set_opacity(self, opacity: float) -> None:
        """Opacity of points and outlines."""
        if self.nuclei is not None and self.outlines is not None:
            self.nuclei.layer.opacity = opacity
            self.outlines.layer.opacity = opacity

    def hide_overlays(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        overlays = [layer for layer in self.layers() if layer is not self.image]
        for layer in overlays:
            layer.visible = not hidden and (
                self.outlines is None or layer is not self.outlines.layer or self._model.outlines
            )
