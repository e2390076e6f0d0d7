"""What each layer of ours has to look like, for the guard that keeps it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.canvas.guarding import Drawing
from napari_nunext.ui.canvas.points_layer import MODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer, Shapes

    from napari_nunext.review.shown.images import ImagesModel, OpenField
    from napari_nunext.ui.canvas.image.layer import ImageLayer
    from napari_nunext.ui.canvas.outlines_layer import OutlinesLayer
    from napari_nunext.ui.canvas.points_layer import NucleiLayer

OUTLINES_EVENTS = frozenset({"data", "colormap", "contour", "show_selected_label", "labels_update"})


def image_drawing(image: ImageLayer, model: ImagesModel) -> Drawing:
    """The image under review, as it was read."""
    layer = image.layer
    return Drawing(
        layer=layer,
        name=_field_of(model).entry.name,
        may_be_untrue=lambda event: event == "data",
        is_true=image.is_true,
        redraw=image.redraw,
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
        words="Outlines are corrected with the Outline tool ({outline_by_clicks}): "
        "the drawing was put right.",
        deleted="To hide outlines, press {outlines}.",
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
        "{category_1}, {category_2} and so on give it a category.",
        deleted="To delete nuclei, select them and press {delete}; to hide all, untick Points.",
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
