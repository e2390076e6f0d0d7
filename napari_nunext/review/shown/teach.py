"""What the part that teaches answerers shows: what there is to learn from, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset
from napari_nunext.store.exports.answers.supply import AnswerSupply, Supply

if TYPE_CHECKING:
    from napari_nunext.review.shown.taught import AnswerComparison

TeachingWay: TypeAlias = Literal["right", "better", "rated"]
"""From answers that are right, from the better of two, or from what was found good or bad."""
WAYS: tuple[TeachingWay, ...] = ("right", "better", "rated")
"""The one that teaches most first."""
TeachingPhase: TypeAlias = Literal[
    "idle", "exporting", "training", "testing", "done", "failed", "stopped"
]
LEAST = 5
"""Answers, or pairs of them, from which teaching begins to make sense."""
LEAST_LEARNED = 2
"""How many of them must be of patients who are not kept aside."""


@dataclass(frozen=True, slots=True)
class Pupil:
    """An answerer in a folder of this machine, which can be taught."""

    name: str
    problem: str = ""
    """Why it cannot be taught here, one sentence."""


@dataclass(frozen=True, slots=True)
class TeachingStatus:
    """How the teaching is going."""

    phase: TeachingPhase = "idle"
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    words: str = ""
    parent: str = ""
    """The answerer that is taught."""
    name: str = ""
    """The new one."""
    comparison: AnswerComparison | None = None
    """Figures before and after, once there are any."""
    kept: str = ""
    """What was kept aside, in sentences."""
    can_go_on: bool = False
    """Whether a teaching that was broken off can go on."""

    @property
    def busy(self) -> bool:
        """Whether it is under way."""
        return self.phase in ("exporting", "training", "testing")


@dataclass(eq=False)
class TeachModel:
    """What the panel shows of teaching."""

    supply: AnswerSupply = field(default_factory=AnswerSupply)
    pupils: tuple[Pupil, ...] = ()
    addresses: int = 0
    """Answerers of the model server that are elsewhere, and cannot be taught from here."""
    pupil: str = ""
    """The name of the one that is taught next."""
    way: TeachingWay = "right"
    status: TeachingStatus = field(default_factory=TeachingStatus)
    problem: str = ""
    """Why nothing can be counted, one sentence."""
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    def of(self, way: TeachingWay) -> Supply:
        """What there is for a way."""
        return {
            "right": self.supply.right,
            "better": self.supply.better,
            "rated": self.supply.rated,
        }[way]

    def is_enough(self, way: TeachingWay) -> bool:
        """Whether a way has enough."""
        supply = self.of(way)
        return supply.total >= LEAST and supply.learned >= LEAST_LEARNED

    @property
    def chosen(self) -> Pupil | None:
        """The pupil."""
        return next((each for each in self.pupils if each.name == self.pupil), None)

    @property
    def can_teach(self) -> bool:
        """Whether there is a pupil, and enough to learn from."""
        pupil = self.chosen
        return pupil is not None and not pupil.problem and self.is_enough(self.way)

    def forget_project(self) -> None:
        """Show nothing of the project that was left; whom to teach stays."""
        reset(self, keep=("pupils", "addresses", "pupil"))
