"""The rectangle that a user draws: a slip of the mouse draws nothing, and the next drag counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from napari_nunext.ui.app import App


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])


@pytest.mark.parametrize("before", [False, True], ids=["nothing drawn", "one drawn"])
@pytest.mark.parametrize(
    "slip",
    [(8, 8, 8.5, 8.5), (-50, -50, -10, -10), (8, 8, 8.2, 40)],
    ids=["click", "beside", "line"],
)
def test_after_a_slip_the_mouse_still_draws(
    app: App, slip: tuple[float, ...], before: bool
) -> None:
    canvas, view = app.dock.canvas, app.controller.view.model
    if before:
        canvas.draw_region()
        canvas.region.layer.add_rectangles(rectangle(2, 2, 30, 30))
        assert view.region is not None
    canvas.draw_region()
    layer = canvas.region.layer
    layer.add_rectangles(rectangle(*slip))
    assert view.region is None
    assert len(layer.data) == 0
    assert app.viewer.layers.selection.active is layer
    assert str(layer.mode) == "add_rectangle"
    layer.add_rectangles(rectangle(5, 6, 40, 50))
    assert view.region is not None
    assert len(layer.data) == 1
    assert app.viewer.layers.selection.active is not layer
