"""The regions as one napari Shapes layer: drawn from the review, changed by napari's own tools.

Whatever a person does with them (draw, drag, resize, move a corner, delete) is one gesture.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.layers import from_napari, place, placement, to_napari

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.shapes.regions import Region, RegionKind
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.regions import RegionTool

NAME = "Regions"
COLORS: dict[RegionKind, str] = {
    "search": "#12b5a6",
    "leave_out": "#ff5a1f",
    "interest": "#3d8bfd",
}
"""None of them is a category's, a stain's or that of an answer's boxes."""
FACE_ALPHA: dict[RegionKind, float] = {"search": 0.06, "leave_out": 0.22, "interest": 0.06}
LINE_PART = 0.0025
"""Width of a line as part of what the canvas shows."""
SELECTED_WIDER = 2.0
LABEL_LETTERS = 40
SMALLEST_LINES = 6.0
"""A region is so many lines wide and high at least: a click draws one of some pixels."""
SAME_PX = 0.02
"""Corners are kept to a hundredth of a pixel."""
MODES: dict[RegionTool, str] = {
    "": "pan_zoom",
    "select": "select",
    "corners": "direct",
    "rectangle": "add_rectangle",
    "polygon": "add_polygon",
    "freehand": "add_polygon_lasso",
}
OTHER_MODES = ("vertex_insert", "vertex_remove")
"""Napari's own tools that work on regions too."""
LOOK_EVENTS = frozenset({"edge_color", "edge_width", "face_color"})


class RegionsLayer:
    """Keeps a Shapes layer and the regions of the open image the same, in both directions.

    Parameters
    ----------
    controller : ReviewController
    mpp : float
        The image's scale.
    """

    def __init__(self, controller: ReviewController, mpp: float) -> None:
        self._regions = controller.regions
        self._model = controller.regions.model
        self._view = controller.view.model
        self._drawn: tuple[Region, ...] = ()
        self._ours = False
        self._is_dragged = False
        self._line_px = line_px_of(self._view.view_box)
        self.pacer = Pacer(self.redraw, 0.0)
        self._zooming = Pacer(self._fit_lines, 0.2)
        self.layer = Shapes(
            ndim=2,
            name=NAME,
            opacity=1.0,
            edge_width=self._line_px,
            features=pd.DataFrame({"label": pd.Series([], dtype=object)}),
            text={"string": "{label}", "color": "black", "size": 11, "anchor": "upper_left"},
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selection)
        self.layer.events.mode.connect(self._on_mode)
        self.layer.events.visible.connect(self._on_eye)
        self.see()

    def stop(self) -> None:
        """Draw nothing any more."""
        self.pacer.stop()
        self._zooming.stop()

    # From the review

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)

    def see(self) -> None:
        """Follow what the canvas shows: a line is as wide on the screen at any zoom."""
        self._zooming.ask()

    def show_tool(self) -> None:
        """Have the mouse do what was chosen."""
        mode = MODES[self._model.tool]
        if str(self.layer.mode) != mode:
            with self._our_change():
                self.layer.mode = mode
        self._select()

    def show_eye(self, shown: bool) -> None:
        """Let it be seen, or not; napari would let go of the tool even where it is the same."""
        if self.layer.visible != shown:
            with self._our_change():
                self.layer.visible = shown
            self.show_tool()

    def redraw(self) -> None:
        """Draw what is not drawn."""
        self.pacer.stop()
        if self.is_in_hand():
            return  # its end asks again
        if not self.is_true():
            self.restore()
        self._select()

    def restore(self) -> None:
        """Draw all anew, whatever was done to the layer."""
        self._is_dragged = False
        layer, regions = self.layer, self._model.regions
        self._drawn = regions
        with self._our_change():
            layer.selected_data = set()
            layer.data = []
            if regions:
                layer.add(
                    [_as_shape(each) for each in regions],
                    shape_type=[_type_of(each) for each in regions],
                    edge_width=self._widths(),
                    edge_color=[COLORS[each.kind] for each in regions],
                    face_color=[_face(each.kind) for each in regions],
                )
            labels = labels_of(regions)
            layer.features = pd.DataFrame({"label": pd.Series(labels, dtype=object)})
            layer.feature_defaults = pd.DataFrame({"label": [""]})
            layer.text.color = "black"
            layer.current_edge_color = COLORS[self._model.kind]
            layer.current_face_color = _face(self._model.kind)
            layer.current_edge_width = self._line_px
        self._select()

    def is_true(self) -> bool:
        """Whether the layer shows the regions as they are, and nothing else."""
        layer, regions = self.layer, self._model.regions
        return (
            len(layer.data) == len(regions)
            and all(
                drawn.shape == (len(each.corners), 2)
                and np.allclose(drawn, to_napari(each.polygon_xy), rtol=0, atol=SAME_PX)
                for drawn, each in zip(layer.data, regions, strict=True)
            )
            and list(layer.features["label"]) == labels_of(regions)
            and all(
                np.allclose(color, transform_color(COLORS[each.kind])[0])
                for color, each in zip(layer.edge_color, regions, strict=True)
            )
        )

    def may_be_untrue(self, event: str) -> bool:
        """Whether an event of the layer says that its look was changed."""
        return event in LOOK_EVENTS and not self._ours

    def has_mode(self, mode: str) -> bool:
        """Whether the mouse may do this."""
        return mode in MODES.values() or mode in OTHER_MODES

    def rest(self) -> None:
        """Have the mouse move the view."""
        self._regions.choose_tool("")
        self.layer.mode = "pan_zoom"

    # What the mouse does

    def finish(self) -> bool:
        """Close the polygon that is being drawn; False where none is."""
        if not self.layer._is_creating:
            return False
        self.layer._finish_drawing()
        return True

    def give_up(self) -> bool:
        """Forget what is being drawn; False where nothing is."""
        if not self.layer._is_creating:
            return False
        self.restore()
        return True

    def is_in_hand(self) -> bool:
        """Whether napari is in the middle of a drag: it would go on with shapes that are gone."""
        return self._is_dragged or bool(self.layer._is_creating)

    def _on_data(self, event: Any) -> None:
        if self._ours:
            return
        known, now, rows = len(self._drawn), len(self.layer.data), list(event.data_indices)
        match str(event.action):
            case "changing":
                self._is_dragged = True
            case "changed" if known == now:
                self._is_dragged = False
                self._reshape()
            case "added" if known + 1 == now:
                self._add(from_napari(self.layer.data[-1]))
            case "removed" if known - len(rows) == now or not now:
                gone = self._drawn if not now else [self._drawn[row] for row in rows]
                self._is_dragged = False
                self._regions.delete([each.uid for each in gone])
        if str(event.action) != "changing":
            self.pacer.ask()

    def _add(self, polygon_xy: PointsXY) -> None:
        width, height = np.ptp(polygon_xy, axis=0).tolist() if len(polygon_xy) else (0.0, 0.0)
        if min(width, height) < SMALLEST_LINES * self._line_px:
            return  # a slip: the mouse still draws
        if self._regions.draw(polygon_xy) is not None:
            self._regions.choose_tool("select")

    def _reshape(self) -> None:
        for drawn, was in zip(self.layer.data, self._drawn, strict=True):
            now = from_napari(drawn)
            if now.shape != was.polygon_xy.shape or not np.allclose(
                now, was.polygon_xy, rtol=0, atol=SAME_PX
            ):
                self._regions.reshape(was.uid, now)

    def _on_selection(self) -> None:
        if self._ours or self.is_in_hand():
            return
        rows = [row for row in self.layer.selected_data if row < len(self._drawn)]
        self._regions.select(self._drawn[rows[0]].uid if rows else None)

    def _select(self) -> None:
        """Select on the layer what is selected in the review, and draw it wider."""
        if self._drawn != self._model.regions or self.is_in_hand():
            return
        selects = str(self.layer.mode) in ("select", "direct", *OTHER_MODES)
        rows = {i for i, each in enumerate(self._drawn) if each.uid == self._model.selected}
        with self._our_change():
            if set(self.layer.selected_data) != (rows if selects else set()):
                self.layer.selected_data = rows if selects else set()
            if not np.allclose(self.layer.edge_width, self._widths()):
                self.layer.edge_width = self._widths()

    def _on_eye(self) -> None:
        if not self._ours:
            self._regions.show(self.layer.visible)

    def _on_mode(self) -> None:
        mode = str(self.layer.mode)
        if self._ours or MODES[self._model.tool] == mode:
            return
        tool = next((tool for tool, name in MODES.items() if name == mode), None)
        if tool is not None:
            self._regions.choose_tool(tool)

    def _widths(self) -> list[float]:
        selected = self._model.selected
        return [
            self._line_px * (SELECTED_WIDER if each.uid == selected else 1.0)
            for each in self._drawn
        ]

    def _fit_lines(self) -> None:
        line_px = line_px_of(self._view.view_box)
        if line_px == self._line_px or self.is_in_hand():
            return
        self._line_px = line_px
        with self._our_change():
            self.layer.current_edge_width = line_px
            if self._drawn and len(self.layer.data) == len(self._drawn):
                self.layer.edge_width = self._widths()

    @contextmanager
    def _our_change(self) -> Iterator[None]:
        before, self._ours = self._ours, True
        try:
            yield
        finally:
            self._ours = before


def line_px_of(shown: Box | None) -> float:
    """Width of a line, level-0 px, where the canvas shows this: changed in steps, seldom."""
    across = 400.0 if shown is None else max(shown.width, 1.0)
    return float(2 ** (round(2 * math.log2(across * LINE_PART)) / 2))


def labels_of(regions: tuple[Region, ...]) -> list[str]:
    """What is written at regions: a line each."""
    return [
        each.name
        if len(each.name) <= LABEL_LETTERS
        else f"{each.name[: LABEL_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
        for each in regions
    ]


def _as_shape(region: Region) -> NDArray[np.float64]:
    return to_napari(region.polygon_xy)


def _type_of(region: Region) -> str:
    """A rectangle stays one, so that it can be resized by its sides."""
    corners = region.polygon_xy
    if len(corners) != 4:
        return "polygon"
    one, other = np.diff(corners, axis=0)[:2]
    closes = np.allclose(corners[0] + corners[2], corners[1] + corners[3], rtol=0, atol=SAME_PX)
    upright = min(abs(one)) < SAME_PX and min(abs(other)) < SAME_PX
    return "rectangle" if closes and upright else "polygon"


def _face(kind: RegionKind) -> NDArray[np.float32]:
    color: NDArray[np.float32] = transform_color(COLORS[kind])[0].copy()
    color[3] = FACE_ALPHA[kind]
    return color
