"""What napari calls differently before and after 0.9, or does not hand out."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components._viewer_mouse_bindings import double_click_to_zoom
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels, Layer
    from napari.viewer import Viewer
    from numpy.typing import NDArray

MARGIN = 0.05
"""Part of the canvas that stays free around what is fitted into it, as napari has it."""


def camera_of(viewer: Viewer) -> Any:
    """The camera."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def fit_view(viewer: Viewer, layer: Layer) -> None:
    """Fit a flat layer into the canvas, whatever else lies on it.

    napari fits all layers, and 0.9 cannot fit a flat one beside a stack.
    """
    if viewer.dims.ndisplay != 2:
        viewer.reset_view()
        return
    low_rc, high_rc = layer.extent.world
    step_rc = np.asarray(layer.scale)
    size_rc = high_rc - low_rc + step_rc
    camera = camera_of(viewer)
    camera.center = tuple((low_rc + high_rc) / 2)
    camera.zoom = (1 - MARGIN) * float(np.min(_canvas_px(viewer) / size_rc))


def views_of(viewer: Viewer) -> list[Any]:
    """The signals of what is in view: its middle, its zoom, and the size of the canvas.

    0.8 says nothing of the size: there a new one counts from the next move of the view.
    """
    camera = camera_of(viewer).events
    resized = [viewer.canvas.events.size] if hasattr(viewer, "canvas") else []
    return [camera.center, camera.zoom, *resized]


def view_size_of(viewer: Viewer) -> NDArray[np.float64]:
    """Height and width of what is in view, in the unit of the layers."""
    return _canvas_px(viewer) / camera_of(viewer).zoom


def _canvas_px(viewer: Viewer) -> NDArray[np.float64]:
    """Height and width of what one image has of the canvas."""
    if hasattr(viewer, "canvas"):
        size = viewer.canvas.viewbox_size(viewer.layers)
    else:
        size = viewer._canvas_size
    return np.asarray(size, dtype=np.float64)


def show_scale_bar(viewer: Viewer) -> None:
    """Show how long a micrometre is."""
    new = hasattr(viewer, "canvas")
    bar = viewer.canvas.overlays.scale_bar if new else viewer.scale_bar
    bar.visible = True
    bar.box = True


def canvas_widget_of(window: QWidget) -> QWidget | None:
    """The widget that draws the canvas and takes its keys; None in a window without one.

    Known by the name of its class: vispy's module of it cannot be imported.
    """
    names = {"CanvasBackendDesktop", "CanvasBackendEgl"}
    found = (w for w in window.findChildren(QWidget) if type(w).__name__ in names)
    return next(found, None)


def key_presses_of(canvas_widget: QWidget) -> Any:
    """Through what napari hears of every key, whichever widget had the focus: a vispy emitter.

    What is connected last is told first, and may block the event.
    """
    return canvas_widget._vispy_canvas.events.key_press  # type: ignore[attr-defined]


def menu_keys() -> dict[str, str]:
    """What napari's menus do by key, as Qt writes keys.

    Asked of napari's list, for the actions of a menu are made when it opens.
    """
    from app_model.backends.qt import QKeyBindingSequence
    from napari._app_model import get_app_model

    app = get_app_model()
    return {
        QKeyBindingSequence(each.keybinding).toString(): app.commands[each.command_id].title
        for each in app.keybindings
    }


def unwrapped(viewer: Any) -> Any:
    """The viewer itself, where napari hands out a proxy of it to plugins."""
    return getattr(viewer, "__wrapped__", viewer)


def refresh_part(layer: Labels, part: tuple[slice, slice]) -> None:
    """Draw the part of a labels layer anew in which its array was changed in place.

    What napari itself does while it paints; to refresh all of it copies the whole image.
    """
    if layer.visible and layer.loaded:
        start = [side.start for side in part]
        layer.events.labels_update(data=layer._slice.image.view[part], offset=start)


@contextmanager
def drawn_once(layer: Layer) -> Iterator[None]:
    """Draw a layer anew once, at the end, whatever is set on it."""
    with layer._block_refresh():
        yield
    layer.refresh()


def take_double_click_zoom(viewer: Any) -> bool:
    """Have a double click on the canvas zoom no more; False where it did not."""
    callbacks = unwrapped(viewer).mouse_double_click_callbacks
    if double_click_to_zoom not in callbacks:
        return False
    callbacks.remove(double_click_to_zoom)
    return True


def give_double_click_zoom_back(viewer: Any) -> None:
    """Have it zoom again, as napari has it."""
    unwrapped(viewer).mouse_double_click_callbacks.append(double_click_to_zoom)
