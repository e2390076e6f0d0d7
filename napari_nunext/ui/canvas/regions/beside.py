"""Layers between those of the image, as one: each part has as many as it needs, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nunext.ui.canvas.guarding import Drawing


class Part(Protocol):
    """What has layers of its own on the canvas."""

    def layers(self) -> list[Layer]:
        """Those that are there, bottom up."""
        ...

    def drawings(self) -> list[Drawing]:
        """What each of them has to look like."""
        ...

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        ...

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        ...

    def start_anew(self) -> None:
        """Another image: nothing of the old one's is kept."""
        ...

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        ...

    def disconnect(self) -> None:
        """Let go of the review."""
        ...


class Beside:
    """Some parts, bottom up; what is said to it is said to each."""

    def __init__(self, *parts: Part) -> None:
        self._parts = parts

    def layers(self) -> list[Layer]:
        """Those that are there, bottom up."""
        return [layer for part in self._parts for layer in part.layers()]

    def drawings(self) -> list[Drawing]:
        """What each of them has to look like."""
        return [drawing for part in self._parts for drawing in part.drawings()]

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        for part in self._parts:
            part.flush()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        for part in self._parts:
            part.set_scale(mpp)

    def start_anew(self) -> None:
        """Another image: nothing of the old one's is kept."""
        for part in self._parts:
            part.start_anew()

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        for part in self._parts:
            part.hide(hidden)

    def disconnect(self) -> None:
        """Let go of the review."""
        for part in self._parts:
            part.disconnect()
