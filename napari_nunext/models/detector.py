"""What every detector offers, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from napari_nunext.core.model_description import Kind, ModelDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.nuclei import Category


@dataclass(frozen=True, slots=True)
class DetectorInfo(ModelDescription):
    """What a caller must know of a detector to cut windows for it and to describe a run."""

    categories: tuple[Category, ...]
    """Never empty: a model that knows no categories has the one `UNCATEGORISED`."""
    mpp: float
    window_px: int
    halo_um: float
    """How far from a window's edge its nuclei can be trusted."""
    image_tokens: int = 0
    """Visual tokens that one window costs."""
    decoding: dict[str, Any] = field(default_factory=dict)
    kind: Kind = field(default="detector", kw_only=True)


@dataclass(frozen=True, eq=False, slots=True)
class WindowPoints:
    """Points just decoded in one window; a window may send many of these."""

    window: int
    """Position of the window in the batch that was given."""
    points_xy: PointsXY
    """Shape (N, 2), pixels of the window, corner origin."""
    categories: tuple[str, ...]
    confidence: tuple[float, ...]
    position_error_um: tuple[float, ...] | None = None
    """Of each point, as `napari_nunext.core.nuclei.Nucleus` has it; None where nobody says."""


@dataclass(frozen=True, slots=True)
class WindowEnd:
    """A window is finished."""

    window: int
    finish: Literal["end", "limit"]
    """``"limit"``: cut off at the most points that the detector lets a window hold."""
    tokens: int = 0
    """Tokens decoded for it."""


WindowEvent: TypeAlias = WindowPoints | WindowEnd


class Detector(Protocol):
    """Finds nuclei in square windows of its own size and scale."""

    @property
    def info(self) -> DetectorInfo:
        """What this detector is."""
        ...

    def detect(
        self, windows: Sequence[NDArray[np.uint8]], *, cancelled: Callable[[], bool]
    ) -> Iterator[WindowEvent]:
        """Find the nuclei of each window, yielding points as soon as they are known.

        Parameters
        ----------
        windows : sequence of ndarray of uint8, shape (window_px, window_px, 3)
            RGB at ``info.mpp``.
        cancelled : callable
            Asked before every step; once it is True, nothing more is yielded.

        Yields
        ------
        WindowPoints or WindowEnd
            Windows interleave freely; each ends with exactly one `WindowEnd` unless cancelled.
        """
        ...


@dataclass(eq=False, slots=True)
class Caller:
    """One of several who ask a detector at the same time, and what came of it so far."""

    flow: Hashable = None
    """Callers of one flow share what is one flow's part: those of one person, for example."""
    lane: Hashable = None
    """Callers of different lanes are decoded apart: who is in a hurry, and who is not."""
    asked: tuple[str, ...] = ()
    """Categories that the model is asked for alone; everything where there are none."""
    among: tuple[str, ...] = ()
    """Categories that it chooses from for each nucleus; all that it knows where there are none."""
    spent_s: float = 0.0
    """Time that was spent on this caller, in whoever's turn; may be set back to 0."""
    has_news: bool = False
    """Whether there is something to yield at once, without a step."""


@runtime_checkable
class SharedDetector(Detector, Protocol):
    """A detector that decodes the windows of several callers together.

    All of them call it from one thread, by turns.
    """

    def detect_for(
        self,
        caller: Caller,
        windows: Sequence[NDArray[np.uint8]],
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent | None]:
        """Find the nuclei of each window, as `detect` does, beside other callers.

        Windows are read when there is a place for them, and none is kept: there may be as many as
        a slide has.

        Yields
        ------
        WindowPoints, WindowEnd or None
            None after each step of the detector: so that others may take their turn. The step may
            have been theirs as well, and theirs may have brought events of this caller's: then
            ``caller.has_news``.
        """
        ...


class DetectsForOne:
    """A `SharedDetector` as a `Detector`: `detect` is `detect_for` with nobody beside."""

    def detect(
        self: SharedDetector,
        windows: Sequence[NDArray[np.uint8]],
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent]:
        """Find the nuclei of each window; see `Detector.detect`, and `detect_for` for errors."""
        for event in self.detect_for(Caller(), windows, cancelled=cancelled):
            if event is not None:
                yield event
