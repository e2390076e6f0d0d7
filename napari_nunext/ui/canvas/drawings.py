"""What each layer of ours has to look like, for the guard that keeps it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.canvas.guarding import Drawing
from napari_nunext.ui.canvas.points_layer import MODES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from napari.layers import Image, Layer, Shapes
    from numpy.typing import NDArray

    from napari_nunext.review.shown.images import ImagesModel, OpenField
    from napari_nunext.ui.canvas.outlines_layer import OutlinesLayer
    from napari_nunext.ui.canvas.points_layer import NucleiLayer

OUTLINES_EVENTS = frozenset({"data", "colormap", "contour", "show_selected_label", "labels_update"})


def pixels_of(field: OpenField) -> NDArray[np.uint8]:
    """What the image layer shows: the same array as long as the image is open."""
    return field.source.read_region(field.box)


def image_drawing(layer: Image, model: ImagesModel) -> Drawing:
    """The image under review, as it was read."""

    def redraw() -> None:
        layer.data = pixels_of(_field_of(model))

    return Drawing(
        layer=layer,
        name=_field_of(model).entry.name,
        may_be_untrue=lambda event: event == "data",
        is_true=lambda: layer.data is pixels_of(_field_of(model)),
        redraw=redraw,
        has_mode=_moves_the_view,
        rest=lambda: _rest(layer),
        words="The image shows what is reviewed: its pixels were put back.",
        deleted="To review another image, go to it or open it.",
    )


def outlines_drawing(outlines: OutlinesLayer, model: ImagesModel) -> Drawing:
    """The outlines, in the colours of the categories."""
    return Drawing(
        layer=outlines.layer,
        name="Outlines",
        may_be_untrue=OUTLINES_EVENTS.__contains__,
        is_true=outlines.is_true,
        redraw=lambda: outlines.restore(_field_of(model)),
        has_mode=_moves_the_view,
        rest=lambda: _rest(outlines.layer),
        words="Outlines are corrected with the Outline tool (O): the drawing was put right.",
        deleted="To hide outlines, press M.",
        patch=lambda: outlines.patch,
    )


def nuclei_drawing(nuclei: NucleiLayer) -> Drawing:
    """The nuclei, looking as their category and sureness have it."""
    return Drawing(
        layer=nuclei.layer,
        name="Nuclei",
        may_be_untrue=nuclei.may_be_untrue,
        is_true=nuclei.is_true,
        redraw=nuclei.restore,
        has_mode=lambda mode: mode in MODES.values(),
        rest=nuclei.show_tool,
        words="How a nucleus looks says what it is: the look was put right. "
        "Press 1 to 9 to give it a category.",
        deleted="To delete nuclei, select them and press D; to hide all, untick Points.",
    )


def region_drawing(layer: Shapes, on_deleted: Callable[[], None]) -> Drawing:
    """The region to search, which may be drawn, changed and deleted with napari's tools."""
    return Drawing(
        layer=layer,
        name="Region",
        may_be_untrue=lambda event: False,
        is_true=lambda: True,
        redraw=lambda: None,
        has_mode=lambda mode: mode != "transform",
        rest=lambda: _rest(layer),
        words="",
        on_deleted=on_deleted,
    )


def _field_of(model: ImagesModel) -> OpenField:
    assert model.open_field is not None
    return model.open_field


def _moves_the_view(mode: str) -> bool:
    return mode == "pan_zoom"


def _rest(layer: Layer) -> None:
    layer.mode = "pan_zoom"
