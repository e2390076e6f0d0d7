"""What napari calls differently before and after 0.9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer


def camera_of(viewer: Viewer) -> Any:
    """The camera."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def show_scale_bar(viewer: Viewer) -> None:
    """Show how long a micrometre is."""
    new = hasattr(viewer, "canvas")
    bar = viewer.canvas.overlays.scale_bar if new else viewer.scale_bar
    bar.visible = True
    bar.box = True
