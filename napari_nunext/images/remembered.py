"""Windows of an image that are read again and again, such as under somebody who clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from napari_nunext.core.process.bounded import BoundedCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import ImageSource

Windows: TypeAlias = "BoundedCache[tuple[str, Box, int], NDArray[np.uint8]]"
"""Pixels by image, box and side. Resampling 2000 px to 1000 takes longer than a mask may."""


def new_windows(capacity_bytes: int) -> Windows:
    """An empty cache; the windows used longest ago go first."""
    return BoundedCache(capacity_bytes, lambda window: window.nbytes)


class RememberedWindows:
    """An image whose windows are read once, as long as they are remembered.

    Parameters
    ----------
    image : ImageSource
    windows : Windows
        May be shared by many images.
    """

    def __init__(self, image: ImageSource, windows: Windows) -> None:
        self._image = image
        self._windows = windows
        self.box = image.box

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """As `ImageSource.read_window`; the array is shared, and read-only."""
        key = self._image.id, box, out_px
        window = self._windows.get(key)
        if window is None:
            window = self._image.read_window(box, out_px)
            window.flags.writeable = False
            self._windows.put(key, window)
        return window
