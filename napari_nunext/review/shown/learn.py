"""What the part that trains shows: what there is to learn from, and how the training is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.outcome import Comparison, Lesson
    from napari_nunext.review.shown.checks import Check

TrainingPhase = Literal[
    "idle", "exporting", "building", "training", "testing", "done", "failed", "stopped"
]


@dataclass(frozen=True, slots=True)
class Harvest:
    """What people have done so far, as training material: the counts of what is exported."""

    corrections: int = 0
    """Points in which the truth differs from what the models had shown."""
    fields: int = 0
    """Accepted fields and regions."""
    nuclei: int = 0
    checks: tuple[Check, ...] = ()
    answers: int = 0
    """Answers to questions that people judged, and that may be learned from."""
    restricted_answers: int = 0
    """Those whose models' terms forbid it."""

    @property
    def ready(self) -> bool:
        """Whether there is anything that a detector learns from."""
        return bool(self.checks) and all(c.passed for c in self.checks if c.needed)

    @property
    def can_leave(self) -> bool:
        """Whether there is anything to export: answers alone are enough."""
        return self.ready or self.answers > 0


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """How the training is going."""

    phase: TrainingPhase = "idle"
    step: int = 0
    steps: int = 0
    losses: tuple[float, ...] = ()
    """Loss at each reported step, oldest first."""
    seconds_left: float | None = None
    words: str = ""
    checkpoint: Path | None = None
    """The new model, once there is one."""
    name: str = ""
    """What people call it."""
    lesson: Lesson | None = None
    """What was exported to learn from, once it is."""
    comparison: Comparison | None = None
    """Figures before and after, once there are any."""

    @property
    def busy(self) -> bool:
        """Whether it is under way."""
        return self.phase in ("exporting", "building", "training", "testing")


@dataclass(eq=False)
class LearnModel:
    """What the panels show of learning."""

    harvest: Harvest = field(default_factory=Harvest)
    training: TrainingStatus = field(default_factory=TrainingStatus)
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    def forget_project(self) -> None:
        """Show nothing of the project that was left."""
        reset(self)
