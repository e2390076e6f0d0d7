"""The nuclei as napari points: drawn from the review's state, edited with napari's own tools."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Points
from napari.utils.colormaps.standardize_color import transform_color

from napari_nunext.core.nuclei import points_of
from napari_nunext.review.editing import is_sure
from napari_nunext.review.model import Notice, ReviewModel
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.layers import from_napari, place, placement, to_napari

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.model import Tool

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
LOOK_EVENTS = frozenset(
    {"border_color", "border_width", "border_width_is_relative", "face_color", "size", "symbol"}
)
BRUSH_EVENTS = frozenset({"current_border_color", "current_face_color", "current_size"})
NO_EDIT = "That change of the points is no correction of nuclei, and was taken back."


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
        self._size_px = POINT_UM / mpp
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self.layer = Points(
            self._drawn.places_rc,
            ndim=2,
            name="Nuclei",
            features=self._drawn.features(),
            size=self._size_px,
            border_color=[HALO],
            border_width=HALO_WIDTH,
            canvas_size_limits=(SMALLEST_PX, LARGEST_PX),
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selection)
        self.layer.events.mode.connect(self._on_mode)
        # napari pastes without a word to anyone.
        self.layer._paste_data = self._take_back
        self.layer.mouse_drag_callbacks.append(self._on_press)
        self.show_tool()
        self.redraw()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)
        self._size_px = POINT_UM / mpp
        self.layer.current_size = self._size_px
        self.layer.size = self._size_px

    def is_true(self) -> bool:
        """Whether the layer shows the nuclei as they are to be seen."""
        drawn, layer = Drawn.of(self._model), self.layer
        return (
            drawn.uids == self._drawn.uids
            and np.array_equal(drawn.places_rc, layer.data)
            and np.array_equal(drawn.colors, layer.face_color)
            and np.array_equal(drawn.shown, layer.shown)
            and np.allclose(layer.size, self._size_px)
            and np.allclose(layer.border_color, HALO, atol=1e-3)
            and np.allclose(layer.border_width, HALO_WIDTH)
            and {str(symbol) for symbol in layer.symbol} <= {SURE_SYMBOL, UNSURE_SYMBOL}
        )

    def may_be_untrue(self, event: str) -> bool:
        """Whether an event of the layer says that its look was changed.

        Choosing a point sets napari's brush as well, so there only what is chosen is looked at.
        """
        if event in LOOK_EVENTS:
            return True
        if event not in BRUSH_EVENTS or len(self._drawn.uids) != len(self.layer.data):
            return False
        layer, rows = self.layer, list(self.layer.selected_data)
        with layer.block_update_properties(), self._our_change():
            self._reset_brush()
        return not (
            np.array_equal(layer.face_color[rows], self._drawn.colors[rows])
            and np.allclose(layer.border_color[rows], HALO, atol=1e-3)
            and np.allclose(layer.size[rows], self._size_px)
        )

    def restore(self) -> None:
        """Draw all of it anew, whatever was done to the layer."""
        layer, self._dragging = self.layer, False
        with self._our_change(), layer.events.blocker_all():
            layer.selected_data.clear()
            layer.data = np.zeros((0, 2))
        self._drawn = Drawn.of(ReviewModel())
        self.redraw()

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
            self._reset_brush()
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

    def _reset_brush(self) -> None:
        """Have new rows look as ours do: napari gives them what its controls were last set to."""
        layer = self.layer
        if layer.current_size != self._size_px:
            layer.current_size = self._size_px
        if not np.allclose(transform_color(layer.current_border_color), HALO, atol=0.01):
            layer.current_border_color = HALO
        if layer.current_border_width != HALO_WIDTH:
            layer.current_border_width = HALO_WIDTH

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
        """Translate what was done to the points; what cannot be is taken back.

        A plugin or a script may have set all of them at once, and rows are told by their number:
        only where it is clear which nuclei are meant is it an edit.
        """
        if self._ours:
            return
        known, now = len(self._drawn.uids), len(self.layer.data)
        match str(event.action):
            case "changing":
                self._dragging = True
            case "added" if known + len(event.data_indices) == now:
                self._added(event.data_indices)
            case "removed" if now == 0:
                self._removed(range(known))
            case "removed" if known - len(event.data_indices) == now:
                self._removed(event.data_indices)
            case "changed" if known == now:
                self._dragging = False
                self._moved(event.data_indices)
            case "added" | "removed" | "changed":
                self._take_back()

    def _added(self, indices: Iterable[int]) -> None:
        for x_px, y_px in self._places(indices):
            if self._is_inside(x_px, y_px):
                self._controller.add_nucleus(x_px, y_px)
        self.redraw()

    def _removed(self, indices: Iterable[int]) -> None:
        shown = self._drawn.shown
        self._controller.delete_nuclei([self._drawn.uids[i] for i in indices if shown[i]])
        self.redraw()

    def _moved(self, indices: Iterable[int]) -> None:
        places = {}
        for i, (x_px, y_px) in zip(indices, self._places(indices), strict=True):
            uid = self._drawn.uids[i]
            if not self._is_drawn_at(uid, self.layer.data[i]):
                places[uid] = (x_px, y_px)
        if all(self._is_inside(*xy) for xy in places.values()):
            self._controller.move_nuclei(places)
        self.redraw()

    def _is_drawn_at(self, uid: UUID, place_rc: NDArray[np.float64]) -> bool:
        """Whether a nucleus lies there, to the last digit; (x, y) would come back rounded."""
        state = self._model.state
        if state is None or uid not in state.nuclei:
            return False
        nucleus = state.nuclei[uid].nucleus
        return np.array_equal(to_napari(points_of([nucleus]))[0], place_rc)

    def _take_back(self) -> None:
        self.restore()
        self._controller.session.notify(Notice(NO_EDIT))

    def _on_selection(self) -> None:
        """Select what is selected there; what is hidden is not meant, as nobody sees it."""
        if self._ours:
            return
        shown = self._drawn.shown
        rows = {i for i in self.layer.selected_data if i < len(shown) and shown[i]}
        self._controller.select(self._drawn.uids[i] for i in rows)
        if rows != set(self.layer.selected_data):
            self.redraw_selection()

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

    def _places(self, indices: Iterable[int]) -> list[tuple[float, float]]:
        points_xy = from_napari(self.layer.data[list(indices)])
        return [(float(x), float(y)) for x, y in points_xy]

    def _is_inside(self, x_px: float, y_px: float) -> bool:
        field = self._model.open_field
        return field is not None and bool(field.box.contains(np.array([[x_px, y_px]]))[0])
