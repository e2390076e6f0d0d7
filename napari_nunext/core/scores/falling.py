"""Which figures of a model have fallen, as people see them: the one rule of what is worse.

The app asks by it before a new model is put in place, and ``nunext-train`` says by it what a
training has forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_nunext.core.scores.metrics import DetectionReport

FORGIVEN = 1
"""Of tissue that is not what a training was for, so many hundredths may be lost."""


def shown(figure: float) -> str:
    """A figure in [0, 1] as people see it, who judge by what they see."""
    return f"{figure:.2f}"


def has_fallen(before: float, after: float, forgiven: int = 0) -> bool:
    """Whether a figure is lower as shown, by more than so many hundredths.

    >>> has_fallen(0.754, 0.746), has_fallen(0.75, 0.74), has_fallen(0.75, 0.74, forgiven=1)
    (False, True, False)
    """
    return round(100 * float(shown(before))) - round(100 * float(shown(after))) > forgiven


@dataclass(frozen=True, slots=True)
class Fall:
    """A figure that has fallen."""

    category: str | None
    """None: all nuclei."""
    before: float
    """F1."""
    after: float

    @property
    def loss(self) -> str:
        """By how much the figures that are shown differ."""
        return shown(float(shown(self.before)) - float(shown(self.after)))

    def words(self, where: str) -> str:
        """``fewer Stromal nuclei right on such tissue: F1 0.40, before 0.57``."""
        of = "nuclei" if self.category is None else f"{self.category} nuclei"
        return f"fewer {of} right {where}: F1 {shown(self.after)}, before {shown(self.before)}"


def falls(before: DetectionReport, after: DetectionReport, forgiven: int = 0) -> tuple[Fall, ...]:
    """The figures that have fallen, the deepest fall first.

    Of all nuclei, and of every category that both reports have and whose truth has a nucleus.
    """
    scores = {None: (before.overall, after.overall)} | {
        name: (score, after.by_category[name])
        for name, score in before.by_category.items()
        if name in after.by_category
    }
    found = [
        Fall(name, old.f1, new.f1)
        for name, (old, new) in scores.items()
        if old.tp + old.fn and has_fallen(old.f1, new.f1, forgiven)
    ]
    return tuple(sorted(found, key=lambda fall: fall.after - fall.before))
