"""What came of teaching an answerer: figures before and after, on answers that were kept aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_nunext.core.scores.falling import has_fallen, shown
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

FIGURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "closed_accuracy": (
            "Choices right",
            "Of questions with options, or answered by yes or no: how many are answered right.",
        ),
        "subtype_accuracy": ("Subtypes right", "How many subtypes are named right."),
        "number_closeness": (
            "Numbers",
            "How close a number is: 1 where it is right, 0 where it is off by all of it.",
        ),
        "open_bleu": (
            "Words",
            "How much an answer says what readers accepted or wrote: BLEU, 1 is the very words. "
            "Other words may be right as well.",
        ),
        "map": ("Boxes", "How well boxes lie: mean average precision at IoU 0.1, 0.3 and 0.5."),
        "agrees_with_readers": (
            "Agrees with readers",
            "Of two answers, one of which readers found better: how often it finds that one "
            "likelier too. 0.5 is chance.",
        ),
    }
)
"""Figures of ``nunext-train ask evaluate`` that people are shown: their names, and meanings."""

TOO_FEW = 20
"""With fewer answers kept aside, chance moves a figure more than training does."""


@dataclass(frozen=True, slots=True)
class AnswerFigure:
    """A mean over answers, 0 to 1, with the interval in which it lies with other images."""

    value: float
    interval: tuple[float, float] | None
    """95 %; None of one image."""
    answers: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AnswerFigure:
        """As ``ask evaluate --out`` writes it."""
        interval = data["interval"]
        return cls(
            float(data["value"]),
            None if interval is None else (float(interval[0]), float(interval[1])),
            int(data["answers"]),
        )

    def to_json(self) -> dict[str, Any]:
        """The same."""
        interval = None if self.interval is None else list(self.interval)
        return {"value": self.value, "interval": interval, "answers": self.answers}


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """A row of the table."""

    name: str
    meaning: str
    before: AnswerFigure | None
    after: AnswerFigure | None

    @property
    def answers(self) -> int:
        """How many answers, or pairs of them, were tested on."""
        return max(each.answers for each in (self.before, self.after) if each is not None)

    @property
    def is_worse(self) -> bool:
        """Whether the figure that is shown has fallen."""
        if self.before is None or self.after is None:
            return False
        return has_fallen(self.before.value, self.after.value)


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """Figures of both answerers on the answers kept aside, by their names; empty without any."""

    before: Mapping[str, AnswerFigure] = field(default_factory=dict)
    after: Mapping[str, AnswerFigure] = field(default_factory=dict)
    problem: str = ""
    """Why figures are missing, one sentence."""

    @property
    def lines(self) -> tuple[AnswerLine, ...]:
        """Those that either has, in the order of `FIGURES`."""
        return tuple(
            AnswerLine(words, meaning, self.before.get(name), self.after.get(name))
            for name, (words, meaning) in FIGURES.items()
            if name in self.before or name in self.after
        )

    @property
    def question(self) -> str:
        """What to ask before the new one is put in place; empty where it is measurably no worse."""
        lines = self.lines
        worse = next((line for line in lines if line.is_worse), None)
        if worse is not None and worse.before is not None and worse.after is not None:
            return (
                f"It answered worse on what was kept aside: {worse.name} "
                f"{shown(worse.after.value)}, before {shown(worse.before.value)}. Use it all the "
                "same?"
            )
        if not self.before or not self.after:
            return "It was not tested beside the old one. Use it all the same?"
        most = max(line.answers for line in lines)
        if most < TOO_FEW:
            return (
                f"Only {counted(most, 'answer was', 'answers were')} kept aside, too few to tell "
                "whether it is better. Use it all the same?"
            )
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "before": {name: each.to_json() for name, each in self.before.items()},
            "after": {name: each.to_json() for name, each in self.after.items()},
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AnswerComparison:
        """The inverse of `to_json`."""
        before, after = (
            {name: AnswerFigure.from_json(each) for name, each in data[which].items()}
            for which in ("before", "after")
        )
        return cls(before, after, str(data["problem"]))


def figures_of(report: Mapping[str, Any]) -> dict[str, AnswerFigure]:
    """The figures of a report of ``ask evaluate`` that people are shown."""
    found = report["figures"]
    return {name: AnswerFigure.from_json(found[name]) for name in FIGURES if name in found}
