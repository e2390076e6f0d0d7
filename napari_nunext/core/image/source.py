"""What every part of the program takes an image as: something that gives pixels where it is asked.

From opening to export, images travel as an `ImageSource`. Pixels are read where they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

from napari_nunext.core.geometry import check_mpp

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box

ScaleSource: TypeAlias = Literal["file", "user", "assumed"]


MOST_PIXELS = 178_000_000
"""Of what is held at once: about 13 300 x 13 300 px or 0.5 GB. Pillow refuses beyond 178.9 million
itself."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Micrometres per level-0 pixel and where the figure comes from; both None when unknown."""

    mpp: float | None = None
    source: ScaleSource | None = None

    def __post_init__(self) -> None:
        if self.mpp is not None:
            check_mpp(self.mpp)


class WindowReader(Protocol):
    """As much of an image as a model needs."""

    @property
    def box(self) -> Box:
        """The whole image, level-0 px."""
        ...

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` (level-0 px) resampled to ``(out_px, out_px, 3)``, white outside."""
        ...


class ImageSource(WindowReader, Protocol):
    """An image, whatever holds its pixels. Safe between threads.

    Only its header was read when it was opened. What reads pixels raises `ImageError` where they
    are damaged.
    """

    @property
    def id(self) -> str:
        """Hash of the content, tagged with what was hashed; see `napari_nunext.core.identity`."""
        ...

    @property
    def name(self) -> str:
        """To show."""
        ...

    @property
    def path(self) -> Path | None:
        """What another process would open it from; None where it is no file of its own."""
        ...

    @property
    def scale(self) -> Scale:
        """Micrometres per level-0 pixel, and who says so."""
        ...

    @property
    def levels(self) -> tuple[float, ...]:
        """Level-0 pixels a pixel of each level, finest first: ``(1.0,)`` where there is one."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to show it as 8-bit RGB, and why a scale was not taken; a phrase each."""
        ...

    @property
    def reading_bytes(self) -> int:
        """Most memory that reading it takes, by its header; 0 where that is not known."""
        ...

    @property
    def held_bytes(self) -> int:
        """Memory that it keeps once it was read."""
        ...

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Whole pixels of a level, shape (H, W, 3), not resampled; it may be shared, so read-only.

        Parameters
        ----------
        box : Box
            Level-0 px. Every pixel of the level that it touches belongs; what lies outside of the
            image is left out.
        level : int
            Index into `levels`.

        Raises
        ------
        InputError
            If there is no such level, or nothing of the image in the box.
        """
        ...

    def with_scale(self, mpp: float, source: ScaleSource) -> Self:
        """The same image, pixels shared, at another scale.

        Raises
        ------
        CalibrationError
            If `mpp` is implausible.
        """
        ...
