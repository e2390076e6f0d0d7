"""What a training learns from, and what came of it: the figures before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import UNCATEGORISED, nuclei_in_words
from napari_nunext.core.scores.falling import FORGIVEN, Fall, falls, has_fallen
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
    forgiven: int = 0
    """So many hundredths may be lost without a word."""

    @property
    def is_worse(self) -> bool:
        """Whether the figure that is shown has fallen."""
        if self.before is None or self.after is None or not self.nuclei:
            return False
        return has_fallen(self.before.f1, self.after.f1, self.forgiven)


@dataclass(frozen=True, slots=True)
class Pair:
    """Reports of both models on the same fields; None where there is none."""

    before: DetectionReport | None = None
    after: DetectionReport | None = None
    forgiven: int = 0
    """So many hundredths of a figure may be lost without a word."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All nuclei first, then the categories by name; empty without figures."""
        before, after = self.before, self.after
        if before is None and after is None:
            return ()
        known = [set(report.by_category) for report in (before, after) if report is not None]
        names = sorted(set().union(*known) - {UNCATEGORISED})
        return tuple(_line(name, before, after, self.forgiven) for name in (None, *names))

    @property
    def falls(self) -> tuple[Fall, ...]:
        """What has fallen, the deepest fall first."""
        if self.before is None or self.after is None:
            return ()
        return falls(self.before, self.after, self.forgiven)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of both models, on the fields kept aside and on tissue that the old one knew."""

    before: DetectionReport | None = None
    """On the fields kept aside; None where there are none."""
    after: DetectionReport | None = None
    problem: str = ""
    """Why figures are missing, one sentence."""
    earlier_before: DetectionReport | None = None
    """On tissue that the old model knew; None where that was not tested."""
    earlier_after: DetectionReport | None = None
    added: tuple[str, ...] = ()
    """Categories that the old model lacked."""

    @property
    def new(self) -> Pair:
        """On the fields kept aside: no fall is passed over."""
        return Pair(self.before, self.after)

    @property
    def earlier(self) -> Pair:
        """On tissue that the old model knew."""
        return Pair(self.earlier_before, self.earlier_after, FORGIVEN)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The rows of the fields kept aside."""
        return self.new.lines

    @property
    def warning(self) -> str:
        """What the new model is worse at, a sentence for each tissue; empty where it is not."""
        said = []
        if fallen := self.new.falls:
            said.append(f"It found {fallen[0].words('on the fields kept aside')}.")
        if fallen := self.earlier.falls:
            where = "on tissue that the old one knew"
            said.append(f"It forgot: it found {fallen[0].words(where)} ({fallen[0].loss} lost).")
        if self.added:
            said.append(
                f"New to it, and learned from these fields alone: {', '.join(self.added)}. On "
                "other tissue it may say that in place of the categories that it had."
            )
        return " ".join(said)

    @property
    def question(self) -> str:
        """What to ask before the new model is put in place; empty where it is no worse."""
        return f"{self.warning} Use it all the same?" if self.warning else ""


def _score(report: DetectionReport | None, category: str | None) -> DetectionScore | None:
    if report is None:
        return None
    return report.overall if category is None else report.by_category.get(category)


def _line(
    category: str | None,
    before: DetectionReport | None,
    after: DetectionReport | None,
    forgiven: int,
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
        forgiven,
    )
