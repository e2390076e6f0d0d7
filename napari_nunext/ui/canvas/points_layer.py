"""The nuclei as napari points: drawn from the review's state, edited with napari's own tools."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nunext.core.nuclei import points_of
from napari_nunext.review.correcting.holding import held_for
from napari_nunext.review.model import Notice, ReviewModel
from napari_nunext.review.shown.view import ViewModel
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.drawn import HALO, HALO_WIDTH, Drawn
from napari_nunext.ui.canvas.layers import from_napari, place, placement, to_napari
from napari_nunext.ui.canvas.nuclei_points import SYMBOL, NucleiPoints
from napari_nunext.ui.commands.chosen import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.view import Held, Tool

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
HELP = (
    "{add} adds, {select} selects, "
    "{outline_by_clicks}, {outline_by_brush}, {outline_by_polygon} outline, "
    "{category_1}, {category_2} and so on give a category, {delete} deletes, {keys} lists all keys"
)
"""In napari's status bar, in the place of keys that mean something else here."""
LOOK_EVENTS = frozenset(
    {"border_color", "border_width", "border_width_is_relative", "face_color", "size", "symbol"}
)
BRUSH_EVENTS = frozenset({"current_border_color", "current_face_color", "current_size"})
TOO_FAR = "Zoom in to add nuclei: there are too many here to see single ones."
NO_EDIT = "That change of the points is no correction of nuclei, and was taken back."
ADDING = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.ControlModifier
"""Held while one clicks, the keys add to what is selected, as napari has it."""
REDRAW_EVERY_S = 0.1


class NucleiLayer:
    """Keeps a Points layer and the review's state the same, in both directions."""

    def __init__(self, controller: ReviewController, mpp: float) -> None:
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._drawn = Drawn.of(ReviewModel(), ViewModel())
        self._ours = False
        self._dragging = False
        self._size_px = POINT_UM / mpp
        self.pacer = Pacer(self.redraw, REDRAW_EVERY_S)
        self.layer = NucleiPoints(
            name="Nuclei",
            size=self._size_px,
            on_add=self._add,
            on_remove=self._removed,
            on_select=self._on_selection,
            canvas_size_limits=(SMALLEST_PX, LARGEST_PX),
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selection)
        self.layer.events.mode.connect(self._on_mode)
        # napari pastes without a word to anyone.
        self.layer._paste_data = self._take_back
        self.show_tool()
        self.redraw()

    def look(self) -> None:
        """Follow the view: draw other nuclei where those that are drawn do not cover it."""
        if self._held() != self._view.held:
            self.pacer.ask()

    def _held(self) -> Held:
        """Which nuclei are to be drawn, with what is in view now."""
        view = self._view
        return held_for(self._review.table, view.hidden_categories, view.view_box, view.held)

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)
        self._size_px = POINT_UM / mpp
        self._show(self._drawn)

    def uids(self) -> list[UUID]:
        """Which nuclei the points stand for, row by row."""
        return self._drawn.uids(range(len(self._drawn)))

    def is_true(self) -> bool:
        """Whether the layer shows the nuclei as they are to be seen."""
        drawn, layer = Drawn.of(self._review, self._view), self.layer
        return (
            drawn.is_as(self._drawn)
            and np.array_equal(drawn.places_rc, layer.data)
            and np.array_equal(drawn.face_colors(), layer.face_color)
            and np.allclose(layer.border_color, drawn.border_colors(), atol=1e-3)
            and np.allclose(layer.border_width, drawn.border_widths())
            and np.allclose(layer.size, self._size_px)
            and bool(layer.shown.all())
            and {str(symbol) for symbol in set(layer.symbol)} <= {SYMBOL}
        )

    def may_be_untrue(self, event: str) -> bool:
        """Whether an event of the layer says that its look was changed.

        Choosing a point sets napari's brush as well, so there only what is chosen is looked at.
        """
        if event in LOOK_EVENTS:
            return True
        if event not in BRUSH_EVENTS or len(self._drawn) != len(self.layer.data):
            return False
        layer, rows = self.layer, list(self.layer.selected_data)
        with layer.block_update_properties(), self._our_change():
            self._reset_brush()
        return not (
            np.array_equal(layer.face_color[rows], self._drawn.face_colors()[rows])
            and np.allclose(layer.border_color[rows], self._drawn.border_colors()[rows], atol=1e-3)
            and np.allclose(layer.size[rows], self._size_px)
        )

    def restore(self) -> None:
        """Draw all of it anew, whatever was done to the layer."""
        layer, self._dragging = self.layer, False
        with self._our_change(), layer.events.blocker_all():
            layer.selected_data.clear()
            layer.data = np.zeros((0, 2))
        self._drawn = Drawn.of(ReviewModel(), ViewModel())
        self.redraw()

    # From the review to napari

    def redraw(self) -> None:
        """Show the state as it is; put off while a nucleus is being dragged."""
        if self._dragging:
            return  # its end asks again
        self.pacer.stop()
        self._controller.view.hold(self._held())
        drawn = Drawn.of(self._review, self._view)
        # What was dragged lies there already, and as a rule looks as it did.
        at_place = np.array_equal(drawn.places_rc, self.layer.data)
        if not at_place or not drawn.looks_like(self._drawn):
            self._show(drawn)
        self._drawn = drawn
        self.redraw_selection()

    def _show(self, drawn: Drawn) -> None:
        rows = self._rows_selected(drawn)
        with self._our_change():
            if rows != set(self.layer.selected_data):  # or it would name other points
                self.layer.selected_data.replace_selection(rows)
            self.layer.show(
                drawn.places_rc,
                size=self._size_px,
                face_colors=drawn.face_colors(),
                border_colors=drawn.border_colors(),
                border_widths=drawn.border_widths(),
                features=drawn.features(),
            )

    def _reset_brush(self) -> None:
        """Have new rows look as ours do: napari gives them what its controls were last set to."""
        layer = self.layer
        if layer.current_size != self._size_px:
            layer.current_size = self._size_px
        if not np.allclose(transform_color(layer.current_border_color), HALO, atol=0.01):
            layer.current_border_color = HALO
        if layer.current_border_width != HALO_WIDTH:
            layer.current_border_width = HALO_WIDTH

    def redraw_selection(self) -> None:
        """Select in napari what is selected in the review."""
        if self._drawn.table is not self._review.table:
            return  # a redraw is asked for, and selects too
        rows = self._rows_selected(self._drawn)
        if rows != set(self.layer.selected_data):
            with self._our_change():
                self.layer.selected_data = rows

    def _rows_selected(self, drawn: Drawn) -> set[int]:
        """Which points stand for what is selected in the review."""
        if not self._view.selected:
            return set()
        rows = drawn.table.rows_of(self._view.selected)
        return set(np.flatnonzero(np.isin(drawn.rows, rows, assume_unique=True)).tolist())

    def show_tool(self) -> None:
        """Let the mouse do what the user chose."""
        self.layer.mode = MODES[self._view.tool]
        self.layer.help = KEYS.words(HELP)

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
        known, now = len(self._drawn), len(self.layer.data)
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
                self._controller.correct.add(x_px, y_px)
        self.redraw()

    def _add(self, places_rc: NDArray[np.float64]) -> None:
        if self._view.held.too_many:  # nobody corrects what is not seen
            self._controller.session.notify(Notice(TOO_FAR))
            return
        places_xy = from_napari(places_rc).tolist()
        added = [self._controller.correct.add(*xy) for xy in places_xy if self._is_inside(*xy)]
        self._controller.view.select(added)
        self.redraw()  # at once with what is selected: each is a frame

    def _removed(self, rows: Iterable[int]) -> None:
        rows = list(rows)
        uids = dict.fromkeys(self._drawn.uids(rows))
        if set(rows) == set(self.layer.selected_data):  # and those of them that are off the view
            uids |= dict.fromkeys(sorted(self._view.selected))
        self._controller.correct.delete(uids)
        self.redraw()

    def _moved(self, indices: Iterable[int]) -> None:
        rows = list(indices)
        places = {}
        for i, uid, xy in zip(rows, self._drawn.uids(rows), self._places(rows), strict=True):
            if not self._is_drawn_at(uid, self.layer.data[i]):
                places[uid] = xy
        if all(self._is_inside(*xy) for xy in places.values()):
            self._controller.correct.move(places)
        self.redraw()

    def _is_drawn_at(self, uid: UUID, place_rc: NDArray[np.float64]) -> bool:
        """Whether a nucleus lies there, to the last digit; (x, y) would come back rounded."""
        state = self._review.state
        if state is None or uid not in state.nuclei:
            return False
        nucleus = state.nuclei[uid].nucleus
        return np.array_equal(to_napari(points_of([nucleus]))[0], place_rc)

    def _take_back(self) -> None:
        self.restore()
        self._controller.session.notify(Notice(NO_EDIT))

    def _on_selection(self) -> None:
        if not self._ours:
            rows = [i for i in self.layer.selected_data if i < len(self._drawn)]
            self._controller.view.select({*self._drawn.uids(rows), *self._kept_off_view()})

    def _kept_off_view(self) -> set[UUID]:
        """What is selected and not drawn, where the person adds to what is selected."""
        adds = QApplication.keyboardModifiers() & ADDING
        if not adds or self._view.held.within is None:
            return set()
        return set(self._view.selected) - set(self._drawn.uids(range(len(self._drawn))))

    def _on_mode(self) -> None:
        mode = str(self.layer.mode)
        self.layer.help = KEYS.words(HELP)
        if MODES[self._view.tool] == mode:
            return
        tool = next((tool for tool, name in MODES.items() if name == mode), None)
        if tool is not None:
            self._controller.view.choose_tool(tool)

    def _places(self, indices: Iterable[int]) -> list[tuple[float, float]]:
        points_xy = from_napari(self.layer.data[list(indices)])
        return [(float(x), float(y)) for x, y in points_xy]

    def _is_inside(self, x_px: float, y_px: float) -> bool:
        field = self._images.open_field
        return field is not None and bool(field.box.contains(np.array([[x_px, y_px]]))[0])
