"""What the review puts on napari's canvas: image, outlines, nuclei, and a region to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from psygnal import Signal

from napari_nunext.review.connections import Connections
from napari_nunext.review.model import Notice
from napari_nunext.ui.canvas.drawings import (
    image_drawing,
    nuclei_drawing,
    outlines_drawing,
    region_drawing,
)
from napari_nunext.ui.canvas.evidence.evidence import AnswerEvidence
from napari_nunext.ui.canvas.guarding import LayerGuard
from napari_nunext.ui.canvas.image.layer import ImageLayer
from napari_nunext.ui.canvas.image.sight import Sight
from napari_nunext.ui.canvas.layers import place
from napari_nunext.ui.canvas.many.density_layer import DensityLayer
from napari_nunext.ui.canvas.outline_mouse import OutlineMouse
from napari_nunext.ui.canvas.outlines_layer import OutlinesLayer
from napari_nunext.ui.canvas.overlays import Overlays
from napari_nunext.ui.canvas.points_layer import NucleiLayer
from napari_nunext.ui.canvas.region_layer import RegionLayer
from napari_nunext.ui.canvas.regions.beside import Beside
from napari_nunext.ui.canvas.regions.shown_regions import ShownRegions
from napari_nunext.ui.napari_versions import fit_view, show_scale_bar, views_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField


class Canvas:
    """Owns the layers of the open image and keeps them in step with the review.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : ReviewController
    may_draw : callable
        Whether the window is there to be drawn in; a closing one takes its layers away too.
    """

    layers_changed = Signal()
    """A layer of ours came or went."""
    overview_changed = Signal()
    """There is another small picture of all of the image."""

    def __init__(
        self,
        viewer: Viewer,
        controller: ReviewController,
        may_draw: Callable[[], bool] = lambda: True,
    ) -> None:
        self._viewer = viewer
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._shown: OpenField | None = None
        self.picture: ImageLayer | None = None
        self.outlines: OutlinesLayer | None = None
        self.nuclei: NucleiLayer | None = None
        self.region: RegionLayer | None = None
        self.evidence = AnswerEvidence(controller, self._watch)
        self.regions = ShownRegions(controller, viewer.layers, self._watch, self.focus)
        self._beside = Beside(self.regions, self.evidence)
        self._mouse: OutlineMouse | None = None
        self._overlays: Overlays | None = None
        self._watched: list[Layer] = []
        self._guard = LayerGuard(viewer, self._mpp, self._tell, may_draw)
        self.sight = Sight(viewer, self._mpp)
        self.density = DensityLayer(controller, self._guard, self._watch)
        self._connections = Connections()
        self._of_layers = Connections()
        """Those of the layers that are there now."""
        call, review, view = self._connections.call, self._review.events, self._view.events
        call(self.show_field, self._images.events.open_field)
        call(self._redraw, review.state, view.sure_above, view.hidden_categories)
        call(self._recolor, review.categories)
        call(self._tint, view.tint)
        call(self._select, view.selected, view.held)
        call(self._show_tool, view.tool)
        call(self._show_draft, view.draft)
        call(self.sight.look_at, controller.view.focus_requested)
        call(self._see, *views_of(viewer))

    @property
    def image(self) -> Image | None:
        """The layer of the open image; another one for each slide."""
        return None if self.picture is None else self.picture.layer

    def layers(self) -> list[Layer]:
        """Our layers, bottom up."""
        ours = (
            self.image,
            *self.density.layers(),
            self.outlines and self.outlines.layer,
            self.region and self.region.layer,
            *self._beside.layers(),
            self.nuclei and self.nuclei.layer,
        )
        return [layer for layer in ours if layer is not None]

    def is_active(self) -> bool:
        """Whether the keyboard and the mouse work on a layer of ours."""
        active = self._viewer.layers.selection.active
        return active is not None and any(active is layer for layer in self.layers())

    def disconnect(self) -> None:
        """Let go of the review."""
        self._guard.disconnect()
        self._disconnect_layers()
        self.density.disconnect()
        self._beside.disconnect()
        self._connections.cut()

    def _disconnect_layers(self) -> None:
        """Have our layers follow the review no longer."""
        self._of_layers.cut()
        if self.picture is not None:
            self.picture.close()
        if self.region is not None:
            self.region.disconnect()

    # The open image

    def show_field(self, field: OpenField | None) -> None:
        """Put an image on the canvas, or another scale under the one that is there."""
        if field is None:
            self._clear()
            return
        other_pixels = self._shown is None or self._shown.source is not field.source
        with self._guard.our_change():
            self._guard.put_back()
            if self.picture is None:
                self._add_layers(field)
            elif other_pixels:
                self._change_image(field)
            else:
                self._rescale(field.entry.mpp)
        if other_pixels:
            self.fit()
        self._shown = field
        self._see()
        self.overview_changed.emit()
        self.focus()

    def _see(self, *_: object) -> None:
        """Let the review know what the canvas shows."""
        shown, screen_px_per_px = self.sight.shown(), self.sight.screen_px_per_px
        if shown is not None and screen_px_per_px is not None:
            self._controller.view.look_from(shown)
            if self.nuclei is not None and self.outlines is not None:
                self.nuclei.look()
                self.outlines.look(1 / screen_px_per_px)

    def _clear(self) -> None:
        """Take our layers away: nothing of an image that is not under review stays in sight."""
        ours = self.layers()
        self._disconnect_layers()
        self.picture = self.outlines = self.nuclei = self.region = self._shown = None
        self._mouse = self._overlays = None
        with self._guard.our_change():
            self._guard.watch([])
            self._take_away(ours)
        self.density.start_anew()
        self._beside.start_anew()

    def _take_away(self, layers: Iterable[Layer]) -> None:
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def fit(self) -> None:
        """Let the image fill the canvas."""
        if self.image is not None:
            fit_view(self._viewer, self.image)

    def focus(self) -> None:
        """Make the nuclei the layer that the keyboard and the mouse work on."""
        if self.nuclei is not None:
            self._viewer.layers.selection.active = self.nuclei.layer

    def _add_layers(self, field: OpenField) -> None:
        mpp = field.entry.mpp
        self.picture = self._image_of(field)
        self.outlines = OutlinesLayer(self._review, self._view, field, self._guard.our_change)
        self.nuclei = NucleiLayer(self._controller, mpp)
        for drawn in (self.outlines, self.nuclei):
            self._of_layers.stop(drawn.pacer.stop)
        self._mouse = OutlineMouse(
            self._viewer, self._controller, self.nuclei.layer, self._of_layers
        )
        self._overlays = Overlays(
            self._controller, self._guard, self.outlines.layer, self.nuclei.layer, self._of_layers
        )
        self._watch()
        show_scale_bar(self._viewer)

    def _image_of(self, field: OpenField) -> ImageLayer:
        return ImageLayer(
            field, lambda words: self._tell(words, "warning"), self.overview_changed.emit
        )

    def _change_image(self, field: OpenField) -> None:
        mpp, image = field.entry.mpp, self.picture
        assert image is not None
        if image.turn_to(field):
            self._guard.keep_name(image.layer, field.entry.name)
        else:
            image.close()
            self.picture = self._image_of(field)
            self._guard.put_in_place_of(image.layer, self.picture.layer)
            self._watch()
        self._the_outlines().show_field(field)
        self._the_nuclei().set_scale(mpp)
        self._the_nuclei().redraw()
        self.density.start_anew()
        self._beside.start_anew()
        if self.region is not None:
            self.region.set_scale(mpp)

    def _rescale(self, mpp: float) -> None:
        if self.image is None:
            return
        place(self.image, mpp)
        self._the_outlines().set_scale(mpp)
        self._the_nuclei().set_scale(mpp)
        self.density.set_scale(mpp)
        self._beside.set_scale(mpp)
        if self.region is not None:
            self.region.set_scale(mpp)
        self.fit()

    def _the_outlines(self) -> OutlinesLayer:
        assert self.outlines is not None
        return self.outlines

    def _the_nuclei(self) -> NucleiLayer:
        assert self.nuclei is not None
        return self.nuclei

    # What napari's own tools may not change

    def _watch(self) -> None:
        """Have our layers guarded, bottom up, and those gone that are ours no more."""
        if self.picture is None or self.nuclei is None:
            return
        drawings = [
            image_drawing(self.picture, self._images),
            *self.density.drawings(),
            outlines_drawing(self._the_outlines(), self._images),
            *self._beside.drawings(),
            nuclei_drawing(self._the_nuclei()),
        ]
        if self.region is not None:
            drawings.insert(
                2 + len(self.density.layers()), region_drawing(self.region.layer, self._drop_region)
            )
        gone = [was for was in self._watched if was not in [d.layer for d in drawings]]
        active = self._viewer.layers.selection.active
        self._guard.watch(drawings)
        with self._guard.our_change():
            self._take_away(gone)
        # A layer that comes or goes by itself must not take the tool out of a person's hand.
        if any(active is was for was in gone):
            self.focus()
        elif active is not None and self._watched:
            self._viewer.layers.selection.active = active
        self._watched = [drawing.layer for drawing in drawings]
        self.layers_changed.emit()

    @property
    def is_putting_right(self) -> bool:
        """Whether something that was done to our layers is about to be taken back."""
        return self._guard.is_pending

    def _mpp(self) -> float | None:
        field = self._images.open_field
        return None if field is None or self.image is None else field.entry.mpp

    def _tell(self, words: str, level: Literal["info", "warning"] = "info") -> None:
        self._controller.session.notify(Notice(words, level))

    # News of the review

    def _redraw(self) -> None:
        if self._shown is None or self._shown is not self._images.open_field:
            return  # the image comes first
        self._the_nuclei().pacer.ask()
        self._the_outlines().pacer.ask()

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        self._guard.flush()
        self._beside.flush()
        self.density.pacer.flush()
        if self.nuclei is not None and self.outlines is not None:
            self.nuclei.pacer.flush()
            self.outlines.pacer.flush()

    def _recolor(self) -> None:
        if self._shown is not None:
            self._the_nuclei().redraw()
            self._the_outlines().recolor()

    def _tint(self) -> None:
        if self.nuclei is not None:
            self.nuclei.pacer.ask()

    def _select(self) -> None:
        if self.nuclei is not None:
            self.nuclei.redraw_selection()
            self._the_outlines().pacer.ask()

    def _show_draft(self) -> None:
        if self.outlines is not None:
            self.outlines.show_draft()

    def _show_tool(self) -> None:
        if self.nuclei is None:
            return
        # Nobody corrects what is not seen.
        if self._view.tool in ("add", "select"):
            self._controller.view.show_points(True)
        elif self._view.tool == "outline":
            self._controller.view.show_outlines(True)
        self.focus()
        self.nuclei.show_tool()

    # Drawing a region

    def draw_region(self) -> None:
        """Let the user draw the rectangle to search."""
        field = self._images.open_field
        if field is None:
            return
        if self.region is None:
            self.region = RegionLayer(self._controller, field.entry.mpp, self.focus)
            self._watch()
        self._viewer.layers.selection.active = self.region.layer
        self.region.draw()

    def _drop_region(self) -> None:
        """The region was deleted: nothing is drawn any more."""
        if self.region is not None:
            self.region.disconnect()
        self.region = None
        self._controller.view.set_region(None)
        self._watch()
        self.focus()

    # Boxes of an answer

    def correct_boxes(self, mode: str) -> None:
        """Have the mouse move the answer's boxes (``"select"``) or draw one."""
        boxes = self.evidence.correct(mode)
        if boxes is not None:
            self._viewer.layers.selection.active = boxes.layer

    def end_correcting_boxes(self) -> None:
        """Have the mouse work on the nuclei again."""
        if self.has_boxes_in_hand:
            self.focus()
        self.evidence.end_correcting()

    @property
    def has_boxes_in_hand(self) -> bool:
        """Whether the keyboard and the mouse work on the answer's boxes."""
        boxes = self.evidence.boxes
        return boxes is not None and self._viewer.layers.selection.active is boxes.layer

    def delete_boxes(self) -> None:
        """Delete the boxes that are selected."""
        if self.evidence.boxes is not None:
            self.evidence.boxes.delete_selected()

    # Overlays

    def hide_overlays(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        if self._overlays is not None:
            self._overlays.hide(hidden)
        with self._guard.our_change():
            self.density.hide(hidden)
            self._beside.hide(hidden)
        if self.region is not None:
            with self._guard.our_change():
                self.region.layer.visible = not hidden
