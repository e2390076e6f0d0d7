"""Where the canvas looks, in level-0 pixels of the open image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box
from napari_nunext.ui.canvas.layers import from_napari, world_of
from napari_nunext.ui.napari_versions import camera_of, view_size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

CLOSE_PX_PER_UM = 6.0
"""Zoom from which a nucleus can be judged: screen pixels per um."""


class Sight:
    """Moves the camera, and says what it sees. Does nothing while no image is open.

    Parameters
    ----------
    viewer : napari.Viewer
    mpp : callable
        Scale of the open image, um per pixel; None when none is open.
    """

    def __init__(self, viewer: Viewer, mpp: Callable[[], float | None]) -> None:
        self._viewer = viewer
        self._mpp = mpp

    def shown(self) -> Box | None:
        """What is in view, beyond the image too."""
        mpp = self._mpp()
        if mpp is None:
            return None
        middle = np.divide(camera_of(self._viewer).center[-2:], mpp)
        x_px, y_px = from_napari([middle])[0].tolist()
        up, left = (view_size_of(self._viewer) / mpp / 2).tolist()
        return Box(x_px - left, y_px - up, x_px + left, y_px + up)

    @property
    def screen_px_per_px(self) -> float | None:
        """How many pixels of the screen a level-0 pixel takes."""
        mpp = self._mpp()
        return None if mpp is None else float(camera_of(self._viewer).zoom * mpp)

    def move_to(self, x_px: float, y_px: float) -> None:
        """Bring a place to the middle of the canvas."""
        if (mpp := self._mpp()) is not None:
            camera_of(self._viewer).center = world_of(x_px, y_px, mpp)

    def look_at(self, x_px: float, y_px: float) -> None:
        """The same, near enough to judge a nucleus."""
        if self._mpp() is not None:
            self.move_to(x_px, y_px)
            camera = camera_of(self._viewer)
            camera.zoom = max(camera.zoom, CLOSE_PX_PER_UM)

    def zoom_to(self, screen_px_per_px: float) -> None:
        """Show as many pixels of the screen for a level-0 pixel."""
        if (mpp := self._mpp()) is not None:
            camera_of(self._viewer).zoom = screen_px_per_px / mpp
