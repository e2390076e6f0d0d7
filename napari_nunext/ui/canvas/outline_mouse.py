"""What the mouse does with the tool for outlines: clicks, strokes of the brush, corners.

napari gives the mouse to the active layer, which is the nuclei's. While the brush is in the hand a
drag paints, and the view stays where it is; the ring round the cursor is as large as the brush on
the tissue, at every zoom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.interactions import mouse_press_callbacks

from napari_nunext.ui.canvas.layers import from_napari
from napari_nunext.ui.napari_versions import (
    give_double_click_zoom_back,
    take_double_click_zoom,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController

CLICK_PX = 3
"""How far the mouse may move on the screen within a click."""
LEFT, RIGHT = 1, 2


class OutlineMouse:
    """Hears the mouse on the nuclei's layer, and says what it means for an outline.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : ReviewController
    layer : Layer
        That of the nuclei.
    connections : Connections
        How long it hears of the review.
    """

    def __init__(
        self,
        viewer: Viewer,
        controller: ReviewController,
        layer: Layer,
        connections: Connections,
    ) -> None:
        self._viewer = viewer
        self._controller = controller
        self._view = controller.view.model
        self._images = controller.images.model
        self._hand = controller.hand
        self._layer = layer
        self._took_zoom = False
        layer.mouse_drag_callbacks.append(self._on_press)
        layer.mouse_move_callbacks.append(self._on_move)
        layer.mouse_double_click_callbacks.append(self._on_double_click)
        layer.mouse_wheel_callbacks.append(self._on_wheel)
        layer.events.mode.connect(self.show)
        events = self._view.events
        connections.call(self.show, events.tool, events.outline_way, events.brush_um)
        connections.stop(lambda: self._keep_zoom_away(False))
        self.show()

    def show(self) -> None:
        """Let the cursor look, and the view follow, as the tool has it."""
        layer, way = self._layer, self._way()
        self._keep_zoom_away(way is not None)
        if way is None and str(layer.mode) != "pan_zoom":
            return  # napari's own tools have cursors of their own
        if way == "brush":
            layer.cursor_size = self._view.brush_um  # of the world, which is in um
        layer.cursor = {"brush": "circle", "polygon": "cross"}.get(way or "", "standard")
        layer.mouse_pan = way != "brush"

    def _keep_zoom_away(self, away: bool) -> None:
        """Let two quick clicks be two clicks; give back only what was taken."""
        if away and not self._took_zoom:
            self._took_zoom = take_double_click_zoom(self._viewer)
        elif not away and self._took_zoom:
            self._took_zoom = False
            give_double_click_zoom_back(self._viewer)

    def _way(self) -> str | None:
        """How outlines are corrected; None while another tool is chosen."""
        return self._view.outline_way if self._view.tool == "outline" else None

    def _on_press(self, layer: Layer, event: Any) -> Iterator[None]:
        if "Alt" in event.modifiers:
            return  # napari draws a box to zoom to
        if self._way() == "brush" and event.button in (LEFT, RIGHT):
            yield from self._stroke(event)
        elif self._way() is not None:
            yield from self._click(event)

    def _stroke(self, event: Any) -> Iterator[None]:
        """Paint until the button is let go; with Shift or the right button, erase."""
        pressed, has_moved = event.pos, False
        erases = "Shift" in event.modifiers or event.button == RIGHT
        self._hand.press(*self._place(event), erases=erases)
        event.handled = True  # or the right button would zoom
        yield
        while event.type == "mouse_move":
            has_moved = has_moved or _is_apart(event.pos, pressed)
            self._hand.move(*self._place(event))
            event.handled = True
            yield
        if has_moved:
            self._hand.move(*self._place(event))
        self._hand.lift(clicked=not has_moved)

    def _click(self, event: Any) -> Iterator[None]:
        """Tell a click on the tissue from the start of a drag, which moves the view."""
        pressed = event.pos
        yield
        while event.type == "mouse_move":
            if _is_apart(event.pos, pressed):
                return
            yield
        if event.button != LEFT:
            return
        place_xy = self._place(event)
        if self._way() == "polygon":
            self._hand.put_corner(*place_xy)
        elif self._way() == "click" and self._is_inside(place_xy):
            self._controller.outline.click(*place_xy, inside="Shift" not in event.modifiers)

    def _on_move(self, layer: Layer, event: Any) -> None:
        if self._way() == "polygon":
            self._hand.hover(*self._place(event))

    def _on_double_click(self, layer: Layer, event: Any) -> None:
        """End a polygon; otherwise it is a press like others, the second within a short time."""
        if self._way() == "polygon":
            self._hand.finish()
        elif self._way() is not None:
            mouse_press_callbacks(layer, event)

    def _on_wheel(self, layer: Layer, event: Any) -> None:
        """With Shift, change the size of the brush; without, the view zooms."""
        if self._way() == "brush" and "Shift" in event.modifiers:
            self._hand.resize_brush(int(np.sign(np.sum(event.delta))))

    def _place(self, event: Any) -> tuple[float, float]:
        """Where the mouse is: x, y, level-0 px."""
        place_rc = np.array([self._layer.world_to_data(event.position)[-2:]])
        ((x_px, y_px),) = from_napari(place_rc)
        return float(x_px), float(y_px)

    def _is_inside(self, place_xy: tuple[float, float]) -> bool:
        field = self._images.open_field
        return field is not None and bool(field.box.contains(np.array([place_xy]))[0])


def _is_apart(pos: Any, pressed: Any) -> bool:
    """Whether two places on the screen are too far from each other for one click."""
    return bool(np.abs(np.subtract(pos, pressed)).max() > CLICK_PX)
