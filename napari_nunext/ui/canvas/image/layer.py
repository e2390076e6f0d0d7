"""The open image as a layer of napari's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from napari_nunext.images.slides.slide import Slide
from napari_nunext.ui.canvas.image.pyramid import LevelPixels
from napari_nunext.ui.canvas.layers import place, placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.review.shown.images import OpenField


class ImageLayer:
    """A slide by its levels, as far as it is in view; anything else whole.

    Parameters
    ----------
    field : OpenField
    """

    def __init__(self, field: OpenField) -> None:
        self._pixels = _pixels_of(field)
        self.layer = Image(
            self._pixels,
            name=field.entry.name,
            rgb=True,
            multiscale=self.is_lazy,
            **placement(field.entry.mpp),
        )

    @property
    def is_lazy(self) -> bool:
        """Whether pixels are read where they are looked at."""
        return isinstance(self._pixels, list)

    def turn_to(self, field: OpenField) -> bool:
        """Show another image on the same layer; False where that takes another one.

        napari cannot make a layer of levels of one that has none, nor forget the level that it
        shows.
        """
        if self.is_lazy or is_lazy(field):
            return False
        self._pixels = _pixels_of(field)
        self.layer.data = self._pixels
        self.layer.visible = True
        place(self.layer, field.entry.mpp)
        return True

    def is_true(self) -> bool:
        """Whether the layer has the pixels that it was given."""
        data = self.layer.data
        return data[0] is self._pixels[0] if self.is_lazy else data is self._pixels

    def redraw(self) -> None:
        """Give it its pixels again."""
        self.layer.data = self._pixels


def is_lazy(field: OpenField) -> bool:
    """Whether an image is shown by its levels."""
    source = field.source
    return isinstance(source, Slide) and len(source.levels) > 1 and source.has_overview


def _pixels_of(field: OpenField) -> NDArray[np.uint8] | list[LevelPixels]:
    source = field.source
    if is_lazy(field) and isinstance(source, Slide):
        return [LevelPixels(source, number) for number in range(len(source.levels))]
    return source.read_region(field.box)
