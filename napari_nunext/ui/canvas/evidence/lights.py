"""Nuclei that an answer rests on, lit up: a yellow ring around each, which reads on both stains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_nunext.core.geometry import as_points_xy
from napari_nunext.ui.canvas.layers import place, placement, to_napari
from napari_nunext.ui.canvas.nuclei_points import NucleiPoints
from napari_nunext.ui.canvas.points_layer import LARGEST_PX, POINT_UM, SMALLEST_PX

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.geometry import PointsXY

NAME = "Answer nuclei"
COLOR = (1.0, 0.83, 0.0)
RING_UM = 3.0 * POINT_UM
"""Diameter: a nucleus and its point lie inside."""
RING_WIDTH = 0.1
FACE_ALPHA = 0.12


class _Lights(NucleiPoints):
    """Points that say where they are."""

    def _words_of(self, point: int) -> str:
        return "evidence of the answer"


class Lights:
    """Points that cannot be edited: the nuclei themselves lie above them."""

    def __init__(self, mpp: float, on_refused: Callable[[], None]) -> None:
        self._places_xy = as_points_xy(())
        self._on_refused = on_refused
        self.layer = _Lights(
            name=NAME,
            size=RING_UM / mpp,
            on_add=lambda _: on_refused(),
            on_remove=lambda _: on_refused(),
            canvas_size_limits=(SMALLEST_PX + 6, 2 * LARGEST_PX),
            **placement(mpp),
        )
        self.layer._paste_data = on_refused  # napari pastes without a word to anyone

    def show(self, places_xy: PointsXY) -> None:
        """Light up these places, level-0 px, shape (N, 2)."""
        if not np.array_equal(places_xy, self._places_xy):
            self._places_xy = places_xy
            self.restore()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)
        self.restore()

    def restore(self) -> None:
        """Draw all anew, whatever was done to the layer."""
        count = len(self._places_xy)
        with self.layer.events.blocker_all():
            self.layer.selected_data.clear()
        self.layer.show(
            to_napari(self._places_xy),
            size=RING_UM / float(self.layer.scale[-1]),
            face_colors=np.tile(np.array([*COLOR, FACE_ALPHA], dtype=np.float32), (count, 1)),
            border_colors=np.tile(np.array([*COLOR, 1.0], dtype=np.float32), (count, 1)),
            border_widths=np.full(count, RING_WIDTH),
            features=pd.DataFrame(index=range(count)),
        )

    def is_true(self) -> bool:
        """Whether the layer shows the places and nothing else."""
        return np.array_equal(self.layer.data, to_napari(self._places_xy)) and bool(
            np.allclose(self.layer.border_color[:, :3], COLOR)
        )
