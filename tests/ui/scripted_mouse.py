"""A mouse on a layer that no window shows: napari's own callbacks hear of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_nunext.ui.canvas.layers import to_napari

if TYPE_CHECKING:
    from napari.layers import Layer

TELL = {
    "mouse_press": mouse_press_callbacks,
    "mouse_move": mouse_move_callbacks,
    "mouse_release": mouse_release_callbacks,
    "mouse_double_click": mouse_double_click_callbacks,
}


def tell_mouse(
    layer: Layer, kind: str, place: tuple[float, float], *, is_dragging: bool = False
) -> None:
    """Something that the mouse does at a place, level-0 px."""
    happened = SimpleNamespace(
        type=kind,
        position=layer.data_to_world(to_napari(np.array([place]))[0]),
        pos=np.array(place),
        is_dragging=is_dragging,
        modifiers=(),
        view_direction=None,
        dims_displayed=[0, 1],
        button=1,
    )
    TELL[kind](layer, ReadOnlyWrapper(happened))
