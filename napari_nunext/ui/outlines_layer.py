"""The nuclei's outlines as one napari Labels layer, repainted only where something changed.

The outlines themselves are painted, a pixel wide and labelled with their category's colour:
napari's own contours are computed anew from the whole image whenever any pixel changes, which at
1000 x 1000 px blocks the window for longer than drawing everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_nunext.core.nuclei import OKABE_ITO
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.layers import place, placement

if TYPE_CHECKING:
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.masks import Mask
    from napari_nunext.review.model import OpenField, ReviewModel

COLORS = 16
"""Label n has the colour of category n - 1; a 17th category shares the last colour."""
SELECTED = COLORS + 1
"""Label of what is selected, whatever its category."""
SELECTED_COLOR = (255, 255, 255)
REDRAW_EVERY_S = 0.3


class OutlinesLayer:
    """Keeps a Labels layer and the masks of the state the same."""

    def __init__(self, model: ReviewModel, field: OpenField) -> None:
        self._model = model
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self._painted: dict[UUID, tuple[Mask, int]] = {}
        """Mask and label of what is on the layer."""
        self.layer = Labels(
            self._blank(field),
            name="Outlines",
            opacity=0.9,
            colormap=self._colormap(),
            **placement(field.entry.mpp),
        )
        self._layer_data = self.layer.data
        self._painted_over = False
        self.layer.editable = False
        # napari makes it editable again with every new array, and when it turns to 3D and back.
        self.layer.events.editable.connect(self._keep_shut)
        self.layer.events.labels_update.connect(self._on_paint)
        self.redraw()

    def is_true(self) -> bool:
        """Whether nothing but `redraw` has drawn here, in the categories' colours."""
        layer = self.layer
        return (
            not self._painted_over
            and layer.data is self._layer_data
            and np.array_equal(layer.colormap.colors, self._colormap().colors)
            and layer.contour == 0
            and not layer.show_selected_label
        )

    def restore(self, field: OpenField) -> None:
        """Draw all of it anew, on an array of its own, whatever was done to the layer."""
        self.layer.contour = 0
        self.layer.show_selected_label = False
        self.layer.colormap = self._colormap()
        self.show_field(field)

    def _keep_shut(self) -> None:
        self.layer.editable = False

    def _on_paint(self) -> None:
        self._painted_over = True

    def show_field(self, field: OpenField) -> None:
        """Start over on another image."""
        self._painted.clear()
        self.layer.data = self._layer_data = self._blank(field)
        self._painted_over = False
        self.set_scale(field.entry.mpp)
        self.redraw()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)

    def recolor(self) -> None:
        """Follow the categories' colours."""
        self.layer.colormap = self._colormap()
        self.redraw()

    def redraw(self) -> None:
        """Paint what is new or changed and wipe what is gone."""
        self.pacer.stop()
        wanted = self._wanted()
        gone = [
            self._painted.pop(uid)[0]
            for uid, paint in list(self._painted.items())
            if wanted.get(uid) != paint
        ]
        new = {uid: paint for uid, paint in wanted.items() if uid not in self._painted}
        if not gone and not new:
            return
        labels: NDArray[np.uint8] = self.layer.data
        for mask in gone:
            labels[_crop(mask)] = 0
        for uid in self._beside(gone):
            _paint(labels, *self._painted[uid])
        for uid, paint in new.items():
            self._painted[uid] = paint
            _paint(labels, *paint)
        self.layer.refresh()

    def _wanted(self) -> dict[UUID, tuple[Mask, int]]:
        state, hidden = self._model.state, self._model.hidden_categories
        selected = self._model.selected
        if state is None:
            return {}
        label = {c.name: min(i, COLORS) for i, c in enumerate(self._model.categories, start=1)}
        return {
            uid: (
                n.nucleus.mask,
                SELECTED if uid in selected else label.get(n.nucleus.category, COLORS),
            )
            for uid, n in state.nuclei.items()
            if n.nucleus.mask is not None
            and n.status != "rejected"
            and n.nucleus.category not in hidden
        }

    def _beside(self, gone: list[Mask]) -> list[UUID]:
        """What is painted and may have lost pixels when masks were wiped."""
        return [
            uid
            for uid, (mask, _) in self._painted.items()
            if any(_overlap(mask, wiped) for wiped in gone)
        ]

    def _blank(self, field: OpenField) -> NDArray[np.uint8]:
        return np.zeros((field.entry.height_px, field.entry.width_px), dtype=np.uint8)

    def _colormap(self) -> CyclicLabelColormap:
        known = [category.color for category in self._model.categories][:COLORS]
        rest = [OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(known), COLORS)]
        colors = np.ones((SELECTED + 1, 4))
        colors[1:, :3] = np.array([*known, *rest, SELECTED_COLOR]) / 255
        colors[0] = 0
        return CyclicLabelColormap(colors=colors, name="NuNext categories", seed=0.5)


def _crop(mask: Mask) -> tuple[slice, slice]:
    """Where a mask lies in the image; what hangs over its edge is cut off."""
    y0, x0 = max(mask.y0_px, 0), max(mask.x0_px, 0)
    return (
        slice(y0, max(mask.y0_px + mask.height_px, y0)),
        slice(x0, max(mask.x0_px + mask.width_px, x0)),
    )


def outline_of(mask: Mask) -> NDArray[np.bool_]:
    """The pixels of a mask that touch, by an edge, a pixel that is not of it; shape as its crop."""
    inside = np.pad(mask.to_array(), 1)
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~core


def _paint(labels: NDArray[np.uint8], mask: Mask, label: int) -> None:
    rows, columns = _crop(mask)
    target = labels[rows, columns]
    y, x = rows.start - mask.y0_px, columns.start - mask.x0_px
    height, width = target.shape
    target[outline_of(mask)[y : y + height, x : x + width]] = label


def _overlap(a: Mask, b: Mask) -> bool:
    return (
        a.x0_px < b.x0_px + b.width_px
        and b.x0_px < a.x0_px + a.width_px
        and a.y0_px < b.y0_px + b.height_px
        and b.y0_px < a.y0_px + a.height_px
    )
