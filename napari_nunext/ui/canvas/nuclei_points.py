"""A napari Points layer that takes what it shows at once, however many points it has.

Napari's layer is made for points that change one property at a time: each assignment slices and
uploads all of them again, turns the name of every point's symbol into another form, and tells all
listeners which points there are, one number a point. With 100,000 points that alone took a quarter
of a second, and as long again when the user placed or removed a point with napari's tools.

Here all columns are set together and drawn once; all points have one symbol; and what the user
places or removes is only asked for: it is drawn when the review has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points
from napari.layers.points._points_constants import Symbol

from napari_nunext.review.correcting.selection import place_words
from napari_nunext.ui.canvas.layers import from_napari

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd
    from napari.utils.events.containers import Selection
    from numpy.typing import ArrayLike, NDArray

SYMBOL = "disc"


class NucleiPoints(Points):
    """Points that are set all at once.

    Parameters
    ----------
    size : float
        Diameter of every point, data coordinates.
    on_add, on_remove : callable
        Asked for points at places, shape (N, 2), and to remove the points of some rows, ascending.
    on_select : callable, optional
        Told that points were chosen, also where the same ones were.
    more
        As napari has it.
    """

    def __init__(
        self,
        *,
        size: float,
        on_add: Callable[[NDArray[np.float64]], None],
        on_remove: Callable[[list[int]], None],
        on_select: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> None:
        self._on_add = on_add
        self._on_remove = on_remove
        self._on_select = on_select
        super().__init__(np.empty((0, 2)), ndim=2, size=size, symbol=SYMBOL, **more)

    @property
    def _type_string(self) -> str:
        """What napari finds the icon and the controls by."""
        return "points"

    @property
    def _view_symbol(self) -> list[str]:
        """One name for all: as many as there are points take longer than to draw them."""
        return [SYMBOL]

    @property
    def selected_data(self) -> Selection[int]:
        """Rows that are selected."""
        return self._selected_data

    @selected_data.setter
    def selected_data(self, rows: Iterable[int]) -> None:
        # What is selected may be more than is drawn: to select nothing again says something too.
        Points.selected_data.fset(self, rows)
        self._on_select()

    def refresh(self, event: Any = None, **how: Any) -> None:
        """Draw what is in view; while hidden, know at least what that is.

        Napari does not look then, and breaks where the layer is put into its list again.
        """
        super().refresh(event, **how)
        if not self.visible:
            self.set_view_slice()

    def add(self, coords: ArrayLike) -> None:
        """Ask for points."""
        self._on_add(np.atleast_2d(np.asarray(coords, dtype=np.float64)))

    def remove(self, indices: Iterable[int]) -> None:
        """Ask for the points of these rows to go."""
        rows = sorted(int(row) for row in indices)
        if rows:
            self._on_remove(rows)

    def get_status(self, position: ArrayLike | None = None, **how: Any) -> dict[str, str]:
        """What the status bar says: the place in um, and what the nucleus there is.

        napari would say the number of a row and the names of our columns.
        """
        # Not that of `Points`, which looks twice for what stands there, at every move of the mouse.
        status: dict[str, str] = Layer.get_status(self)
        if position is None:
            return status
        place_rc = np.asarray(position, dtype=np.float64)[-2:]
        if how.get("world"):
            place_rc = np.asarray(self.world_to_data(place_rc))
        (x_um, y_um) = from_napari([place_rc])[0] * self.scale[::-1]
        words = f" x {x_um:.1f}, y {y_um:.1f} µm"
        row = self.get_value(position, **{k: v for k, v in how.items() if k != "value"})
        if row is not None and row < len(self.features):
            words += f"; {self._words_of(int(row))}"
        return status | {"coordinates": words, "value": words}

    def _words_of(self, row: int) -> str:
        """A point's category, how sure it is, and how far off it may be."""
        nucleus = self.features.iloc[row]
        sure = "sure" if nucleus["sure"] else "unsure"
        confidence = nucleus["confidence"]
        words = sure if np.isnan(confidence) else f"{sure} ({confidence:.2f})"
        return f"{nucleus['category']}, {words}{place_words(nucleus['position_error_um'])}"

    def show(
        self,
        places_rc: NDArray[np.float64],
        *,
        size: float,
        face_colors: NDArray[np.float32],
        border_colors: NDArray[np.float32],
        border_widths: NDArray[np.float64],
        features: pd.DataFrame,
    ) -> None:
        """Show these points and no others, without an event for each property.

        Parameters
        ----------
        places_rc : ndarray, shape (N, 2)
        size : float
            Diameter, data coordinates.
        face_colors, border_colors : ndarray, shape (N, 4)
        border_widths : ndarray, shape (N,)
            Parts of the diameter.
        features : DataFrame
            N rows.
        """
        count = len(places_rc)
        with (
            self.events.blocker_all(),
            self._face.events.blocker_all(),
            self._border.events.blocker_all(),
        ):
            if count != len(self.data):
                self._shown = np.ones(count, dtype=bool)
                self._symbol = np.full(count, Symbol(SYMBOL), dtype=object)
            self._data = places_rc.copy()  # a drag moves points in place
            self._size = np.full(count, size)
            self._border_width = border_widths
            self._face.colors = face_colors
            self._border.colors = border_colors
            self._feature_table.set_values(features, num_data=count)
            self.text.apply(self.features)
            # The row under the pointer is another nucleus' now; at its next move napari looks.
            self._value = None
        self.refresh()
