"""The nuclei as napari points: drawn from the review's state, edited with napari's own tools."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Points

from napari_nunext.core.nuclei import points_of
from napari_nunext.review.editing import is_sure
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.layers import from_napari, place, placement, to_napari

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.model import ReviewModel, Tool

MODES: dict[Tool, str] = {
    "look": "pan_zoom",
    "select": "select",
    "add": "add",
    "outline": "pan_zoom",
}
"""napari's name of each tool. Outlines are clicked on, and dragging still moves the view."""
POINT_UM = 3.2
"""Diameter of a point: some 40 % of a nucleus, so that it never hides one."""
SMALLEST_PX, LARGEST_PX = 5, 40
"""Limits of a point's diameter on the screen."""
HALO = (0.07, 0.07, 0.10, 1.0)
"""Thin dark rim, so that every colour reads on pink and on purple."""
HALO_WIDTH = 0.1
"""Part of a point's diameter."""
CLICK_PX = 3
"""How far the mouse may move on the screen within a click."""
LEFT = 1
HELP = "A adds, S selects, O outlines, 1-9 give a category, D deletes, ? lists all keys"
"""In napari's status bar, in the place of keys that mean something else here."""
SURE_SYMBOL, UNSURE_SYMBOL = "disc", "ring"
UNKNOWN_COLOR = (200, 200, 200)
SURE_ALPHA, UNSURE_ALPHA = 0.85, 1.0


REDRAW_EVERY_S = 0.1


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the layer shows, one row a nucleus."""

    uids: list[UUID]
    places_rc: NDArray[np.float64]
    colors: NDArray[np.float32]
    sure: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    categories: list[str]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, model: ReviewModel) -> Drawn:
        """The nuclei of the open image, those that a person rejected left out."""
        state = model.state
        standing = (
            [] if state is None else [n for n in state.nuclei.values() if n.status != "rejected"]
        )
        nuclei = [n.nucleus for n in standing]
        sure = np.array([is_sure(n, model.sure_above) for n in standing], dtype=bool)
        rgb = {c.name: c.color for c in model.categories}
        colors = np.ones((len(nuclei), 4), dtype=np.float32)  # as napari keeps them
        colors[:, :3] = np.array(
            [rgb.get(n.category, UNKNOWN_COLOR) for n in nuclei], dtype=float
        ).reshape(-1, 3)
        colors[:, :3] /= 255
        colors[:, 3] = np.where(sure, SURE_ALPHA, UNSURE_ALPHA)
        return cls(
            uids=[n.uid for n in nuclei],
            places_rc=to_napari(points_of(nuclei)),
            colors=colors,
            sure=sure,
            shown=np.array([n.category not in model.hidden_categories for n in nuclei], dtype=bool),
            categories=[n.category for n in nuclei],
            confidence=np.array(
                [np.nan if n.confidence is None else n.confidence for n in nuclei], dtype=float
            ),
        )

    def is_described_as(self, other: Drawn) -> bool:
        """Whether the same rows have the same features."""
        return (
            self.categories == other.categories
            and np.array_equal(self.sure, other.sure)
            and np.array_equal(self.confidence, other.confidence, equal_nan=True)
        )

    def features(self) -> pd.DataFrame:
        """What napari shows of a point under the cursor, and who it is."""
        return pd.DataFrame(
            {
                # Plain objects: pandas' own strings cost more to make than all else here.
                "uid": pd.Series([str(uid) for uid in self.uids], dtype=object),
                "category": pd.Series(self.categories, dtype=object),
                "confidence": self.confidence,
                "sure": self.sure,
            }
        )


class NucleiLayer:
    """Keeps a Points layer and the review's state the same, in both directions."""

    def __init__(self, controller: ReviewController, mpp: float) -> None:
        self._controller = controller
        self._model = controller.model
        self._drawn = Drawn.of(controller.model)
        self._ours = False
        self._dragging = False
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self.layer = Points(
            self._drawn.places_rc,
            ndim=2,
            name="Nuclei",
            features=self._drawn.features(),
            size=POINT_UM / mpp,
            border_color=[HALO],
            border_width=HALO_WIDTH,
            canvas_size_limits=(SMALLEST_PX, LARGEST_PX),
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selection)
        self.layer.events.mode.connect(self._on_mode)
        self.layer.mouse_drag_callbacks.append(self._on_press)
        self.show_tool()
        self.redraw()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)
        self.layer.current_size = POINT_UM / mpp
        self.layer.size = POINT_UM / mpp

    # From the review to napari

    def redraw(self) -> None:
        """Show the state as it is; put off while a nucleus is being dragged.

        Only what differs is handed to napari, which redraws on every assignment.
        """
        if self._dragging:
            return  # its end asks again
        drawn, layer = Drawn.of(self._model), self.layer
        same = drawn.uids == self._drawn.uids and len(drawn.uids) == len(layer.data)
        with self._our_change(), layer.events.blocker_all():
            changed = self._assign(drawn, same)
        self._drawn = drawn
        self.pacer.stop()
        self.redraw_selection()
        if changed:
            layer.refresh()

    def _assign(self, drawn: Drawn, same: bool) -> bool:
        """Hand what differs to napari; sizes, rims and new rows follow its current ones."""
        layer, changed = self.layer, False
        if not same:
            layer.selected_data.clear()
        if not same or not np.array_equal(drawn.places_rc, layer.data):
            layer.data, changed = drawn.places_rc, True
        if not same or not drawn.is_described_as(self._drawn):
            layer.features, changed = drawn.features(), True
        if not np.array_equal(drawn.colors, layer.face_color):
            layer.face_color, changed = drawn.colors, True
        if not self._has_symbols_of(drawn):
            layer.symbol, changed = np.where(drawn.sure, SURE_SYMBOL, UNSURE_SYMBOL), True
        if not np.array_equal(drawn.shown, layer.shown):
            layer.shown, changed = drawn.shown, True
        return changed

    def _has_symbols_of(self, drawn: Drawn) -> bool:
        """Whether the rows' symbols are right already: known rows as before, new ones sure.

        To compare the symbols themselves would cost more than all else here.
        """
        known = len(self._drawn.uids)
        return (
            drawn.uids[:known] == self._drawn.uids
            and np.array_equal(drawn.sure[:known], self._drawn.sure)
            and (len(drawn.uids) == known or str(self.layer.current_symbol) == SURE_SYMBOL)
            and bool(drawn.sure[known:].all())
        )

    def redraw_selection(self) -> None:
        """Select in napari what is selected in the review."""
        selected = self._model.selected
        rows = (
            {i for i, uid in enumerate(self._drawn.uids) if uid in selected} if selected else set()
        )
        if rows != set(self.layer.selected_data):
            with self._our_change():
                self.layer.selected_data = rows

    def show_tool(self) -> None:
        """Let the mouse do what the user chose."""
        self.layer.mode = MODES[self._model.tool]
        self.layer.help = HELP

    @contextmanager
    def _our_change(self) -> Iterator[None]:
        before, self._ours = self._ours, True
        try:
            yield
        finally:
            self._ours = before

    # From napari to the review

    def _on_data(self, event: Any) -> None:
        if self._ours:
            return
        match str(event.action):
            case "changing":
                self._dragging = True
            case "added":
                self._added(event.data_indices)
            case "removed":
                self._removed(event.data_indices)
            case "changed":
                self._dragging = False
                self._moved(event.data_indices)

    def _added(self, indices: tuple[int, ...]) -> None:
        for x_px, y_px in self._places(indices):
            if self._is_inside(x_px, y_px):
                self._controller.add_nucleus(x_px, y_px)
        self.redraw()

    def _removed(self, indices: tuple[int, ...]) -> None:
        self._controller.delete_nuclei([self._drawn.uids[i] for i in indices])
        self.redraw()

    def _moved(self, indices: tuple[int, ...]) -> None:
        uids = [self._drawn.uids[i] for i in indices]
        places = dict(zip(uids, self._places(indices), strict=True))
        if all(self._is_inside(*xy) for xy in places.values()):
            self._controller.move_nuclei(places)
        self.redraw()

    def _on_selection(self) -> None:
        if not self._ours:
            rows = [i for i in self.layer.selected_data if i < len(self._drawn.uids)]
            self._controller.select(self._drawn.uids[i] for i in rows)

    def _on_mode(self) -> None:
        mode = str(self.layer.mode)
        self.layer.help = HELP
        if MODES[self._model.tool] == mode:
            return
        tool = next((tool for tool, name in MODES.items() if name == mode), None)
        if tool is not None:
            self._controller.choose_tool(tool)

    def _on_press(self, layer: Points, event: Any) -> Iterator[None]:
        """Tell a click on the tissue, while outlines are corrected, from the start of a drag."""
        pressed = event.pos
        yield
        while event.type == "mouse_move":
            if np.abs(np.subtract(event.pos, pressed)).max() > CLICK_PX:
                return
            yield
        if self._model.tool != "outline" or event.button != LEFT:
            return
        place_rc = np.array([layer.world_to_data(event.position)[-2:]])
        ((x_px, y_px),) = from_napari(place_rc)
        if self._is_inside(x_px, y_px):
            self._controller.correct_outline(
                float(x_px), float(y_px), inside="Shift" not in event.modifiers
            )

    def _places(self, indices: tuple[int, ...]) -> list[tuple[float, float]]:
        points_xy = from_napari(self.layer.data[list(indices)])
        return [(float(x), float(y)) for x, y in points_xy]

    def _is_inside(self, x_px: float, y_px: float) -> bool:
        field = self._model.open_field
        return field is not None and bool(field.box.contains(np.array([[x_px, y_px]]))[0])
