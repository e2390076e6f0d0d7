"""What every segmenter offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from napari_nunext.core.model_description import Kind, ModelDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.shapes.masks import Mask


@dataclass(frozen=True, slots=True)
class SegmenterInfo(ModelDescription):
    """What a caller must know of a segmenter."""

    mpp: float
    window_px: int
    kind: Kind = field(default="segmenter", kw_only=True)
    reads_outlines: bool = field(default=False, kw_only=True)
    """Whether it was taught to correct an outline that it is told; else that is not looked at."""


@dataclass(frozen=True, eq=False, slots=True)
class Prompt:
    """Asks for one mask, in pixels of the window."""

    points_xy: PointsXY
    """Shape (N, 2); N may be 0 when there is a box."""
    positive: tuple[bool, ...]
    """For each point: on the nucleus, or beside it."""
    box: Box | None = None
    outline: Mask | None = None
    """What the last clicks correct."""


@dataclass(frozen=True, slots=True)
class ScoredMask:
    """A mask in pixels of the window, and how good the segmenter believes it is (0..1)."""

    mask: Mask
    score: float


class Segmenter(Protocol):
    """Draws the nucleus that a prompt points at, in square windows of its own size and scale."""

    @property
    def info(self) -> SegmenterInfo:
        """What this segmenter is."""
        ...

    def segment(
        self,
        window: NDArray[np.uint8],
        prompts: Sequence[Prompt],
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[ScoredMask]:
        """One mask for each prompt, in order.

        Parameters
        ----------
        window : ndarray of uint8, shape (window_px, window_px, 3)
            RGB at ``info.mpp``. The same pixels again are answered from a cached embedding.
        prompts : sequence of Prompt
        """
        ...
