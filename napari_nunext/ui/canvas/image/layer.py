"""The open image as a layer of napari's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_nunext.images.slides.slide import Slide
from napari_nunext.ui.bridge import MainThread, Pacer
from napari_nunext.ui.canvas.image.blocks import Blocks
from napari_nunext.ui.canvas.image.pyramid import Pyramid
from napari_nunext.ui.canvas.image.shown_level import ShownLevel
from napari_nunext.ui.canvas.layers import place, placement

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_nunext.review.shown.images import OpenField

MOST_OVERVIEW_SIDE_PX = 1024
REFRESH_EVERY_S = 0.1
RETRY_MS = 3000
"""After this long, a file that could not be read is tried again."""


class ImageLayer:
    """A slide by its levels, as far as it is in view; anything else whole.

    Parameters
    ----------
    field : OpenField
    tell : callable
        Told a sentence when the slide cannot be read now.
    overview_changed : callable
        Called when more of the coarsest level was read.
    """

    def __init__(
        self, field: OpenField, tell: Callable[[str], None], overview_changed: Callable[[], None]
    ) -> None:
        self._overview_changed = overview_changed
        source = field.source
        self._slide = (
            _SlidePixels(source, self._refresh, tell) if isinstance(source, Slide) else None
        )
        self._pixels: NDArray[np.uint8] | list[ShownLevel] = (
            source.read_region(field.box) if self._slide is None else self._slide.levels
        )
        self.layer = Image(
            self._pixels,
            name=field.entry.name,
            rgb=True,
            multiscale=self._slide is not None,
            **placement(field.entry.mpp),
        )

    def turn_to(self, field: OpenField) -> bool:
        """Show another image on the same layer; False where that takes another one.

        napari cannot make a layer of levels of one that has none, nor forget the level that it
        shows.
        """
        source = field.source
        if self._slide is not None or isinstance(source, Slide):
            return False
        self._pixels = source.read_region(field.box)
        self.layer.data = self._pixels
        self.layer.visible = True
        place(self.layer, field.entry.mpp)
        return True

    def is_true(self) -> bool:
        """Whether the layer has the pixels that it was given."""
        data = self.layer.data
        return data is self._pixels if self._slide is None else data[0] is self._pixels[0]

    def redraw(self) -> None:
        """Give it its pixels again."""
        self.layer.data = self._pixels

    def overview(self) -> NDArray[np.uint8]:
        """All of it, small, shape (H, W, 3), as far as it was read."""
        pixels = np.asarray(self._pixels) if self._slide is None else self._slide.coarsest
        step = -(-max(pixels.shape) // MOST_OVERVIEW_SIDE_PX)
        return pixels[::step, ::step]

    @property
    def is_settled(self) -> bool:
        """Whether all that is in view is there as fine as it should be."""
        return self._slide is None or self._slide.is_settled

    def close(self) -> None:
        """Read nothing more."""
        if self._slide is not None:
            self._slide.close()

    def _refresh(self, is_new_thumbnail: bool) -> None:
        """Draw what has come."""
        self.layer.refresh(extent=False, highlight=False, thumbnail=is_new_thumbnail)
        if is_new_thumbnail:
            self._overview_changed()


class _SlidePixels:
    """The levels of a slide, which are read by threads while they are shown.

    Parameters
    ----------
    slide : Slide
    refresh : callable
        Draws anew, and makes a new thumbnail if told so.
    tell : callable
    """

    def __init__(
        self, slide: Slide, refresh: Callable[[bool], None], tell: Callable[[str], None]
    ) -> None:
        self._refresh = refresh
        self._tell = tell
        self._main = MainThread()
        self._pacer = Pacer(self._draw, REFRESH_EVERY_S)
        self._retry = QTimer()
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self._try_again)
        self._has_thumbnail = self._is_away = False
        pyramid = Pyramid.of(slide)
        self._blocks = Blocks(
            pyramid,
            lambda: self._main.post(self._arrived),
            lambda words: self._main.post(lambda: self._failed(words)),
        )
        self.levels = [
            ShownLevel(self._blocks, number, *level.shape[1::-1])
            for number, level in enumerate(pyramid.levels)
        ]
        if pyramid.own < len(pyramid.levels):
            tell(
                f"{slide.name} has no coarse level, so all of it is seen only bit by bit, as it is "
                "read. Zoom in to see a part at once, or convert it to a pyramid."
            )

    @property
    def coarsest(self) -> NDArray[np.uint8]:
        return self._blocks.coarsest

    @property
    def is_settled(self) -> bool:
        return not (
            self._blocks.is_reading
            or self._main.is_waiting
            or self._pacer.is_waiting
            or self._retry.isActive()
        )

    def close(self) -> None:
        self._blocks.close()
        self._main.close()
        self._pacer.stop()
        self._retry.stop()

    def _arrived(self) -> None:
        self._is_away = False
        self._pacer.ask()

    def _draw(self) -> None:
        is_new, self._has_thumbnail = not self._has_thumbnail, self._blocks.has_coarsest
        self._refresh(is_new)

    def _try_again(self) -> None:
        self._blocks.read_coarsest()  # which napari holds already, and asks for no more
        self._draw()

    def _failed(self, words: str) -> None:
        """Say so once, and look again in a while whether it is back."""
        if not self._is_away:
            self._is_away = True
            self._tell(words)
        self._retry.start(RETRY_MS)
