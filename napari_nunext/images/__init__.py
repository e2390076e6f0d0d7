"""Images with their scale: PNG, JPEG and TIFF tiles as 8-bit RGB in level-0 pixels."""

from __future__ import annotations

from napari_nunext.images.find import find_images
from napari_nunext.images.identified import ImageFinder
from napari_nunext.images.scale import Scale
from napari_nunext.images.source import ImageSource
from napari_nunext.images.tile import TileImage, open_image
from napari_nunext.images.window import read_window

__all__ = [
    "ImageFinder",
    "ImageSource",
    "Scale",
    "TileImage",
    "find_images",
    "open_image",
    "read_window",
]
