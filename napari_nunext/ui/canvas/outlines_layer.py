"""The nuclei's outlines as one napari Labels layer, repainted only where something changed.

They are those of the nuclei that are drawn one by one, on a sheet (`many.sheet`): all of a tile, or
what is in view of a slide.

The outlines themselves are painted, a pixel wide and labelled with their category's colour:
napari's own contours are computed anew from the whole image whenever any pixel changes, which at
1000 x 1000 px blocks the window for longer than drawing everything else.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_nunext.core.nuclei import OKABE_ITO
from napari_nunext.review.shown.view import Held
from napari_nunext.review.table import NucleusTable
from napari_nunext.store.state.touched import places_in_sorted
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.drawn import rows_held
from napari_nunext.ui.canvas.layers import place, placement
from napari_nunext.ui.canvas.many.sheet import Sheet, sheet_for
from napari_nunext.ui.canvas.rims import rims_of
from napari_nunext.ui.napari_versions import drawn_once, refresh_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.drafts import Draft
    from napari_nunext.review.model import ReviewModel
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.ui.canvas.layers import Patch

COLORS = 16
"""Label n has the colour of category n - 1; a 17th category shares the last colour."""
SELECTED = COLORS + 1
"""Label of what is selected, whatever its category."""
SELECTED_COLOR = (255, 255, 255)
REDRAW_EVERY_S = 0.3
MOST_TRACED = 1000
"""Masks whose rims are found at once, in some 15 ms: the others follow when others had a turn."""
AFTER_POINTS_S = 0.04
"""Where the view moved: points and outlines in one frame would make it long."""
SPARE_RIMS = 1000
"""Masks that are no more, and whose rims are kept until there are this many."""
CELL_PX = 64


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """What is on the layer, one row a mask."""

    table: NucleusTable
    rows: NDArray[np.intp]
    """Of the table."""
    mask_ids: NDArray[np.int64]
    """As the table has them, ascending."""
    boxes_px: NDArray[np.int64]
    """Crops of the masks: x0, y0, x1, y1, shape (N, 4)."""
    labels: NDArray[np.uint8]

    @classmethod
    def nothing(cls) -> Painted:
        """What is on an empty layer."""
        none = np.empty(0, np.intp)
        boxes_px = np.empty((0, 4), np.int64)
        return cls(NucleusTable.empty(), none, none, boxes_px, np.empty(0, np.uint8))

    def masks(self, chosen: NDArray[np.bool_]) -> list[Mask]:
        """Some of the masks."""
        return [mask for mask in self.table.masks_at(self.rows[chosen]) if mask is not None]

    def without(self, left_out: NDArray[np.bool_]) -> Painted:
        """The others."""
        at = np.flatnonzero(~left_out)
        rows, mask_ids, boxes_px = self.rows[at], self.mask_ids[at], self.boxes_px[at]
        return Painted(self.table, rows, mask_ids, boxes_px, self.labels[at])


class OutlinesLayer:
    """Keeps a Labels layer and the masks of the state the same.

    Parameters
    ----------
    review : ReviewModel
    view : ViewModel
    field : OpenField
    our_change : callable, optional
        What is done to the layer within it is meant (`LayerGuard.our_change`).
    """

    def __init__(
        self,
        review: ReviewModel,
        view: ViewModel,
        field: OpenField,
        our_change: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._review = review
        self._view = view
        self._our_change = our_change
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self._painted = Painted.nothing()
        self._rims: dict[int, tuple[Mask, NDArray[np.int64]]] = {}
        """By the masks' ids: kept here, a mask keeps its id."""
        self._draft: Draft | None = None
        self._draft_rim = np.empty(0, dtype=np.int64)
        """Pixels of the sheet on which an outline is painted that is being drawn."""
        self._screen_px = 1.0
        self._mpp = field.entry.mpp
        self._sheet = self._sheet_of((field.entry.height_px, field.entry.width_px), None)
        self._sheet_data = np.zeros(self._sheet.shape, dtype=np.uint8)
        self.layer = Labels(
            self._sheet_data,
            name="Outlines",
            opacity=0.9,
            colormap=self._colormap(),
            **placement(field.entry.mpp, self._sheet.patch),
        )
        self._painted_over = False
        self.layer.editable = False
        # napari makes it editable again with every new array, and when it turns to 3D and back.
        self.layer.events.editable.connect(self._keep_shut)
        self.layer.events.labels_update.connect(self._on_paint)
        self.redraw()

    @property
    def patch(self) -> Patch:
        """Where on the image the layer lies."""
        return self._sheet.patch

    def look(self, screen_px: float) -> None:
        """Follow the view: a pixel of the screen has this side, level-0 px."""
        self._screen_px = screen_px
        if self._sheet_of(self._sheet.image_px, self._sheet) is not self._sheet:
            self.pacer.ask_after(AFTER_POINTS_S)

    def _sheet_of(self, image_px: tuple[int, int], before: Sheet | None) -> Sheet:
        view = self._view
        # Nothing is painted where nuclei are too many, but what a hand draws.
        is_blank = view.held.too_many and view.draft is None
        shown = None if is_blank else view.view_box
        sheet = sheet_for(image_px, shown, self._screen_px, None if is_blank else before)
        return before if sheet == before and before is not None else sheet

    def is_true(self) -> bool:
        """Whether nothing but `redraw` has drawn here, in the categories' colours."""
        layer = self.layer
        return (
            not self._painted_over
            and layer.data is self._sheet_data
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
        self._rims.clear()
        self._mpp = field.entry.mpp
        self._turn_to(self._sheet_of((field.entry.height_px, field.entry.width_px), None))
        self.redraw()

    def _turn_to(self, sheet: Sheet) -> None:
        """Begin a sheet on which nothing is painted yet; `redraw` lays it on the layer."""
        self._sheet = sheet
        self._sheet_data = np.zeros(sheet.shape, dtype=np.uint8)
        self._painted = Painted.nothing()
        self._draft, self._draft_rim = None, self._draft_rim[:0]

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        self._mpp = mpp
        place(self.layer, mpp, self._sheet.patch)

    def recolor(self) -> None:
        """Follow the categories' colours."""
        self.layer.colormap = self._colormap()
        self.redraw()

    def redraw(self) -> None:
        """Paint what is new or changed and wipe what is gone."""
        self.pacer.stop()
        sheet = self._sheet_of(self._sheet.image_px, self._sheet)
        if sheet is not self._sheet:
            self._turn_to(sheet)
        wanted, before = self._traced(self._wanted()), self._painted
        at = places_in_sorted(before.mask_ids, wanted.mask_ids)
        is_new = at < 0
        is_other = is_new.copy()
        is_other[~is_new] = before.labels[at[~is_new]] != wanted.labels[~is_new]
        is_gone = places_in_sorted(wanted.mask_ids, before.mask_ids) < 0
        self._painted = wanted
        drafted, self._draft = self._draft, self._view.draft
        is_same = not is_gone.any() and not is_other.any() and drafted is self._draft
        if is_same and self.layer.data is self._sheet_data:
            return
        wiped, _ = self._rims_of(before, is_gone)
        wiped = np.concatenate((wiped, self._draft_rim))
        painted, labels = self._rims_of(wanted, is_other)
        self._pixels[wiped] = 0
        self._pixels[painted] = labels
        is_hurt = ~is_other
        is_hurt[is_hurt] = _are_near(
            wiped, self._sheet.boxes(wanted.boxes_px[is_hurt]), self._sheet.shape
        )
        self._mend(is_hurt)
        self._forget_rims()
        self._show(np.concatenate((wiped, painted, self._paint_draft())))

    def show_draft(self) -> None:
        """Paint the outline that is being drawn in the place of the nucleus' own.

        As it goes on, only where it was and is: whatever else there is in the field stays.
        """
        before, draft = self._draft, self._view.draft
        if before is None or draft is None or before.uid != draft.uid:
            self.redraw()  # the nucleus' own goes, or comes back
            return
        self._draft, wiped = draft, self._draft_rim
        self._pixels[wiped] = 0
        boxes = self._sheet.boxes(self._painted.boxes_px)
        self._mend(_hold_any(boxes, wiped, self._sheet.shape))
        self._show(np.concatenate((wiped, self._paint_draft())))

    @property
    def _pixels(self) -> NDArray[np.uint8]:
        """Those of the sheet, row by row."""
        pixels: NDArray[np.uint8] = self._sheet_data.reshape(-1)
        return pixels

    def _mend(self, is_hurt: NDArray[np.bool_]) -> None:
        """Paint what of some rims was wiped along with others."""
        beside, labels = self._rims_of(self._painted, is_hurt)
        lost = self._pixels[beside] == 0
        self._pixels[beside[lost]] = labels[lost]

    def _paint_draft(self) -> NDArray[np.int64]:
        """Paint it on top, and return where."""
        masks = [] if self._draft is None else [self._draft.mask]
        rims = rims_of(masks, *self._sheet.image_px)
        rim = np.concatenate((np.empty(0, dtype=np.int64), *rims))
        self._draft_rim, _ = self._sheet.places(rim)
        self._pixels[self._draft_rim] = SELECTED
        return self._draft_rim

    def _wanted(self) -> Painted:
        table, view = self._review.table, self._view
        label = {c.name: min(i, COLORS) for i, c in enumerate(self._review.categories, start=1)}
        labels_of = np.array([label.get(name, COLORS) for name in table.names], dtype=np.uint8)
        rows = rows_held(table, view.held)
        part = table.part(rows)
        labels = labels_of[part.category]
        labels[np.isin(rows, table.rows_of(view.selected))] = SELECTED
        shown = (part.mask_ids != 0) & ~part.rejected & ~part.is_of(view.hidden_categories)
        shown &= self._sheet.reached_by(part.mask_boxes_px)
        if view.draft is not None:
            shown &= ~np.isin(rows, table.rows_of([view.draft.uid]))
        chosen = np.flatnonzero(shown)
        mask_ids, first = np.unique(part.mask_ids[chosen], return_index=True)
        chosen = chosen[first]
        boxes_px = part.mask_boxes_px[chosen]
        return Painted(table, rows[chosen], mask_ids, boxes_px, labels[chosen])

    def _traced(self, wanted: Painted) -> Painted:
        """Find rims that are not known yet; those of masks that have to wait are left out."""
        unknown = np.array([key not in self._rims for key in wanted.mask_ids.tolist()], dtype=bool)
        late = unknown & (np.cumsum(unknown) > MOST_TRACED)
        masks = wanted.masks(unknown & ~late)
        rims = rims_of(masks, *self._sheet.image_px)
        keys = wanted.mask_ids[unknown & ~late].tolist()
        self._rims |= dict(zip(keys, zip(masks, rims, strict=True), strict=True))
        if not late.any():
            return wanted
        self.pacer.go_on()
        return wanted.without(late)

    def _rims_of(
        self, painted: Painted, chosen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The pixels of the sheet on the rims of some masks, and the label of each."""
        rims = [self._rims[mask_id][1] for mask_id in painted.mask_ids[chosen].tolist()]
        pixels = np.concatenate((np.empty(0, dtype=np.int64), *rims))
        labels = np.repeat(painted.labels[chosen], [len(rim) for rim in rims])
        places, on_it = self._sheet.places(pixels)
        return places, labels[on_it]

    def _forget_rims(self) -> None:
        """Let go of masks that are no more; those that are hidden come back soon."""
        if len(self._rims) > 2 * len(self._painted.mask_ids) + SPARE_RIMS:
            is_all = self._view.held == Held() and self._sheet.is_whole
            ids = self._review.table.mask_ids if is_all else self._painted.mask_ids
            there = set(ids.tolist())
            self._rims = {key: rim for key, rim in self._rims.items() if key in there}

    def _show(self, pixels: NDArray[np.int64]) -> None:
        """Have napari draw the part of the sheet anew in which pixels were changed."""
        if self.layer.data is not self._sheet_data:
            self._lay_down()
            return
        height_px, width_px = self._sheet.shape
        if not len(pixels):
            return
        rows, columns = np.divmod(pixels, width_px)
        part = (
            slice(int(rows.min()), int(rows.max()) + 1),
            slice(int(columns.min()), int(columns.max()) + 1),
        )
        area_px = (part[0].stop - part[0].start) * (part[1].stop - part[1].start)
        if area_px * 4 > height_px * width_px:
            self.layer.refresh()
        else:
            painted_over = self._painted_over
            refresh_part(self.layer, part)
            self._painted_over = painted_over  # this was no tool of napari's

    def _lay_down(self) -> None:
        """Have the layer show the sheet, where that lies."""
        with self._our_change(), drawn_once(self.layer):
            self.layer.data = self._sheet_data
            place(self.layer, self._mpp, self._sheet.patch)
        self._painted_over = False

    def _colormap(self) -> CyclicLabelColormap:
        known = [category.color for category in self._review.categories][:COLORS]
        rest = [OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(known), COLORS)]
        colors = np.ones((SELECTED + 1, 4))
        colors[1:, :3] = np.array([*known, *rest, SELECTED_COLOR]) / 255
        colors[0] = 0
        return CyclicLabelColormap(colors=colors, name="NuNext categories", seed=0.5)


def _hold_any(
    boxes_px: NDArray[np.int64], pixels: NDArray[np.int64], shape_px: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which boxes (x0, y0, x1, y1), shape (N, 4), reach into the one around these pixels."""
    if not len(pixels):
        return np.zeros(len(boxes_px), dtype=bool)
    rows, columns = np.divmod(pixels, shape_px[1])
    x0, y0, x1, y1 = boxes_px.T
    beside = (x0 > columns.max()) | (x1 <= columns.min())
    held: NDArray[np.bool_] = ~(beside | (y0 > rows.max()) | (y1 <= rows.min()))
    return held


def _are_near(
    pixels: NDArray[np.int64], boxes_px: NDArray[np.int64], shape_px: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which boxes (x0, y0, x1, y1), shape (N, 4), may hold one of these pixels of an image.

    Pixels are gathered in square cells; how many of these lie in a box is the sum over four corners
    of the table of their sums.
    """
    if not len(pixels):
        return np.zeros(len(boxes_px), dtype=bool)
    height, width = (side // CELL_PX + 1 for side in shape_px)
    rows, columns = np.divmod(pixels, shape_px[1])
    sums = np.zeros((height + 1, width + 1), dtype=np.int64)
    sums[rows // CELL_PX + 1, columns // CELL_PX + 1] = 1
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    x0, y0, x1, y1 = (boxes_px // CELL_PX + np.array([0, 0, 1, 1])).T
    x0, x1 = x0.clip(0, width), x1.clip(0, width)
    y0, y1 = y0.clip(0, height), y1.clip(0, height)
    inside: NDArray[np.bool_] = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0] > 0
    return inside
