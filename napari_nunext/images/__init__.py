"""Images with their scale, as 8-bit RGB in level-0 pixels; the next format goes to `formats`."""

from __future__ import annotations

from napari_nunext.images.find import find_images
from napari_nunext.images.formats import ImageFormat, image_stem, open_image, open_tile
from napari_nunext.images.identified import ImageFinder
from napari_nunext.images.tile import Tile
from napari_nunext.images.window import read_window

__all__ = [
    "ImageFinder",
    "ImageFormat",
    "Tile",
    "find_images",
    "image_stem",
    "open_image",
    "open_tile",
    "read_window",
]
