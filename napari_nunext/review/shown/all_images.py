"""What the part that searches all images of the list shows: how far it is, what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

Phase = Literal["idle", "looking", "running", "waiting", "pausing", "stopping", "paused"]


@dataclass(frozen=True, slots=True)
class AllImagesStatus:
    """How the search of all images is going."""

    phase: Phase = "idle"
    images: int = 0
    """All of the list."""
    ended: int = 0
    """Those of which no more is to come; some of them had been searched before."""
    failed: int = 0
    """Those that cannot be searched, or only in parts."""
    seconds_left: float | None = None
    """None while nobody knows."""
    waiting: str = ""
    """What it waits for; one sentence."""

    @property
    def busy(self) -> bool:
        """Whether it is under way."""
        return self.phase not in ("idle", "paused")


@dataclass(eq=False)
class AllImagesModel:
    """What the panels show of it."""

    status: AllImagesStatus = field(default_factory=AllImagesStatus)
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    def forget_project(self) -> None:
        """Show nothing of the project that was left."""
        reset(self)
