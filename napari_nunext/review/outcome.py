"""What a training learns from, and what came of it: the figures before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import UNCATEGORISED, nuclei_in_words
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore

ALL = "All nuclei"


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an export gives to learn from, and what it keeps aside to test on."""

    fields: int = 0
    nuclei: int = 0
    kept_fields: int = 0
    kept_nuclei: int = 0
    kept_patients: int = 0
    patients_named: bool = True
    """Whether each image says whose it is; one that does not counts as a patient of its own."""

    @property
    def words(self) -> str:
        """How much is learned from, in a sentence."""
        return f"Learns from {counted(self.fields, 'field')} with {nuclei_in_words(self.nuclei)}."

    @property
    def kept_words(self) -> str:
        """What is kept aside, in sentences."""
        if not self.kept_fields:
            return "One patient only: how good a model is on others cannot be tested."
        words = (
            f"Tested on {counted(self.kept_patients, 'patient')} kept aside "
            f"({counted(self.kept_fields, 'field')}, {nuclei_in_words(self.kept_nuclei)})."
        )
        if not self.patients_named:
            words += (
                " The names of some images do not say whose they are: each counts as a patient of "
                "its own, so tested and learned fields may be of one person."
            )
        return words


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: all nuclei, or those of a category."""

    name: str
    nuclei: int
    """True nuclei in the fields that were tested on."""
    before: DetectionScore | None
    after: DetectionScore | None
    before_otherwise: DetectionScore | None = None
    """By the other way to match points with nuclei; None where there is none."""
    after_otherwise: DetectionScore | None = None

    @property
    def is_worse(self) -> bool:
        """Whether the figure that is shown has fallen."""
        if self.before is None or self.after is None or not self.nuclei:
            return False
        return shown(self.after.f1) < shown(self.before.f1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of both models on the fields kept aside; None where there are none."""

    before: DetectionReport | None = None
    after: DetectionReport | None = None
    problem: str = ""
    """Why figures are missing, one sentence."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All nuclei first, then the categories by name; empty without figures."""
        before, after = self.before, self.after
        if before is None and after is None:
            return ()
        known = [set(report.by_category) for report in (before, after) if report is not None]
        names = sorted(set().union(*known) - {UNCATEGORISED})
        return tuple(_line(name, before, after) for name in (None, *names))

    @property
    def question(self) -> str:
        """What to ask before the new model is put in place; empty where it is no worse."""
        worse = [line for line in self.lines if line.is_worse]
        if not worse:
            return ""
        line = worse[0]
        assert line.before is not None
        assert line.after is not None
        of = "nuclei" if line.name == ALL else f"{line.name} nuclei"
        return (
            f"It found fewer {of} right on the fields kept aside: F1 {shown(line.after.f1)}, "
            f"before {shown(line.before.f1)}. Use it all the same?"
        )


def _score(report: DetectionReport | None, category: str | None) -> DetectionScore | None:
    if report is None:
        return None
    return report.overall if category is None else report.by_category.get(category)


def _line(
    category: str | None, before: DetectionReport | None, after: DetectionReport | None
) -> Line:
    """The row of a category, or of all nuclei where it is None."""
    old, new = _score(before, category), _score(after, category)
    score = new or old
    return Line(
        ALL if category is None else category,
        0 if score is None else score.tp + score.fn,
        old,
        new,
        _score(before and before.other, category),
        _score(after and after.other, category),
    )


def shown(figure: float) -> str:
    """A figure in [0, 1] as people see it, who judge by what they see."""
    return f"{figure:.2f}"
