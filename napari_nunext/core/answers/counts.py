"""Answers from nuclei: no model, the same each time, and every nucleus that counts as evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.questions import (
    MEASURES,
    Asked,
    Declined,
    means,
    understand,
    with_plain_numbers,
)
from napari_nunext.core.answers.reply import choice_of, folded
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.uids import as_uuids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.answers.field import NucleusField
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.answers.questions import Measure

UNSURE_BELOW = 0.5
"""Confidence under which a nucleus is mentioned as unsure."""

_ZONES = {
    "upper left": Box(0, 0, 0.5, 0.5),
    "upper right": Box(0.5, 0, 1, 0.5),
    "lower left": Box(0, 0.5, 0.5, 1),
    "lower right": Box(0.5, 0.5, 1, 1),
    "upper": Box(0, 0, 1, 0.5),
    "lower": Box(0, 0.5, 1, 1),
    "left": Box(0, 0, 0.5, 1),
    "right": Box(0.5, 0, 1, 1),
    "centre": Box(0.25, 0.25, 0.75, 0.75),
}
"""In parts of the region."""
_QUADRANTS = tuple(_ZONES)[:4]
_SAME_PLACE = {"top": "upper", "bottom": "lower", "center": "centre", "middle": "centre"}


@dataclass(frozen=True, slots=True)
class CountsAnswer:
    """What nuclei say to a question."""

    answer: str
    """Where the question had options, one of them, if one is right."""
    think: str
    """The figures that it follows from."""
    boxes: tuple[AnswerBox, ...] = ()
    evidence: tuple[UUID, ...] = ()
    """The nuclei that it rests on."""
    places_xy: tuple[tuple[float, float], ...] = ()
    """Their centroids, level-0 px."""
    choice: int | None = None
    """Which option."""
    answered: bool = True
    """False where nuclei do not say; `answer` then says why, and what they can say."""

    @property
    def raw(self) -> str:
        """As a model writes it."""
        return f"<think>{self.think}</think><answer>{self.answer}</answer>"


@dataclass(frozen=True, slots=True)
class _Finding:
    """An answer before the options are looked at."""

    said: str
    figures: str
    indices: NDArray[np.int64]
    boxes: tuple[AnswerBox, ...] = ()
    number: float | None = None
    tied: bool = False


def answer_from_counts(question: Question, field: NucleusField) -> CountsAnswer:
    """Answer a question from the nuclei of a region, or say that they do not answer it."""
    asked = _asked(question, field)
    if isinstance(asked, Declined):
        return _declined(asked.why)
    if asked.measure == "ki67":
        signs = [_marked(field, sign) for sign in ("positive", "negative")]
        if not all(signs):
            return _declined("A Ki-67 index needs categories of positive and of negative nuclei.")
        if set(asked.categories) - {name for marked in signs for name in marked}:
            return _declined("The Ki-67 index here is that of all nuclei, not of some categories.")
    found = _FINDERS[asked.measure](asked, question, field)
    choice = _choice(found, question.options)
    answer = found.said
    if question.options:
        if choice is None:
            return _declined(f"The nuclei say {found.said}, and that is none of the options.")
        answer = question.options[choice]
    return CountsAnswer(
        answer,
        " ".join([found.figures, *_remarks(asked, found, field)]),
        found.boxes,
        tuple(as_uuids(field.nuclei.uids[found.indices])),
        tuple((x, y) for x, y in field.nuclei.points_xy[found.indices].tolist()),
        choice,
    )


def _asked(question: Question, field: NucleusField) -> Asked | Declined:
    if question.task == "lesions":
        return understand(f"clusters of {question.text}", field.categories)
    if question.task != "question":
        return Declined("Nuclei do not say which subtype this is.")
    asked = understand(question.text, field.categories)
    if isinstance(asked, Asked) and asked.measure == "dominant" and not asked.categories:
        # Options that are categories are all that may dominate.
        among = tuple(
            dict.fromkeys(
                name
                for option in question.options
                for name in field.categories
                if choice_of(option, [name]) == 0
                or any(means(name, w) for w in folded(option).split())
            )
        )
        return Asked("dominant", among if len(among) > 1 else ())
    return asked


def _declined(why: str) -> CountsAnswer:
    examples = " ".join(MEASURES.values())
    return CountsAnswer(f"{why} Counts can answer: {examples}", "", answered=False)


def _remarks(asked: Asked, found: _Finding, field: NucleusField) -> list[str]:
    said = [f'"{word}" was taken for {name}.' for word, name in asked.loosely]
    sureness = field.nuclei.confidence[found.indices]
    unsure = int((sureness < UNSURE_BELOW).sum())
    if unsure:
        said.append(f"{unsure} of these nuclei have a confidence under {UNSURE_BELOW:g}.")
    return said


# One for each measure


def _count(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    indices = field.of_categories(asked.categories)
    n = len(indices)
    return _Finding(str(n), _table(field, asked.categories), indices, number=n)


def _dominant(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    # Of one category it is asked whether it dominates.
    among = asked.categories if len(asked.categories) > 1 else field.categories
    most = max((field.counts[name] for name in among), default=0)
    first = [name for name in field.counts if name in among and most and field.counts[name] == most]
    indices = field.of_categories(first) if first else np.arange(0)
    if len(asked.categories) == 1:
        said = "yes" if first == [*asked.categories] else "no"
        return _Finding(said, _table(field, among), indices)
    said = " and ".join(first) + " alike" if len(first) > 1 else first[0] if first else "none"
    return _Finding(said, _table(field, among), indices, tied=len(first) != 1)


def _present(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    indices = field.of_categories(asked.categories)
    n, k = len(indices), asked.number
    holds = {
        "at least": n >= k,
        "at most": n <= k,
        "more than": n > k,
        "over": n > k,
        "fewer than": n < k,
        "less than": n < k,
    }[asked.bound]
    return _Finding("yes" if holds else "no", _table(field, asked.categories), indices)


def _more(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    first, second = (field.counts[name] for name in asked.categories)
    said = "yes" if first > second else "no"
    return _Finding(said, _table(field, asked.categories), field.of_categories(asked.categories))


def _share(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    indices = field.of_categories(asked.categories)
    return _percent(len(indices), len(field.nuclei), _table(field, ()), indices)


def _ki67(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    positive = field.of_categories(_marked(field, "positive"))
    stained = len(positive) + len(field.of_categories(_marked(field, "negative")))
    figures = f"{len(positive)} positive of {nuclei_in_words(stained)}."
    return _percent(len(positive), stained, figures, positive)


def _percent(part: int, whole: int, figures: str, indices: NDArray[np.int64]) -> _Finding:
    if not whole:
        return _Finding("no nuclei to divide by", figures, indices, tied=True)
    percent = 100 * part / whole
    return _Finding(f"{percent:.1f} %", figures, indices, number=percent)


def _density(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    indices = field.of_categories(asked.categories)
    per_mm2 = len(indices) / field.area_mm2
    figures = f"{nuclei_in_words(len(indices))} on {field.area_mm2:.4g} mm2."
    return _Finding(f"{per_mm2:.0f} per mm2", figures, indices, number=per_mm2)


def _where(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    indices = field.of_categories(asked.categories)
    zones = [_zone(option) for option in question.options]
    names = [z for z in zones if z] if zones and all(zones) else list(_QUADRANTS)
    inside = {name: field.within(indices, _ZONES[name]) for name in names}
    most = max(map(len, inside.values()))
    first = [name for name, there in inside.items() if len(there) == most and most]
    said = " and ".join(first) + " alike" if len(first) > 1 else first[0] if first else "nowhere"
    figures = ", ".join(f"{name} {len(there)}" for name, there in inside.items()) + "."
    there = np.unique(np.concatenate([inside[name] for name in first])) if first else indices[:0]
    boxes = tuple(AnswerBox(field.level0(_ZONES[name]), name) for name in first)
    return _Finding(said, figures, there, boxes, tied=len(first) != 1)


def _clusters(asked: Asked, question: Question, field: NucleusField) -> _Finding:
    chains = field.clusters(field.of_categories(asked.categories))
    label = " and ".join(asked.categories) or "nuclei"
    boxes = tuple(
        AnswerBox(field.box_around(c), f"{label}: {nuclei_in_words(len(c))}") for c in chains
    )
    figures = (
        f"{len(chains)} clusters, of {', '.join(str(len(c)) for c in chains[:20]) or 'no'} nuclei."
    )
    indices = np.concatenate(chains) if chains else np.arange(0)
    rows = [", ".join(f"{v:.0f}" for v in found.box.as_tuple()) for found in boxes]
    said = f"[{', '.join(f'[{row}]' for row in rows)}]" if rows else "none"
    if asked.measure == "cluster_count":
        said = str(len(chains))
    elif asked.measure == "cluster_present":
        return _Finding("yes" if chains else "no", figures, indices, boxes)
    return _Finding(said, figures, indices, boxes, number=len(chains))


_FINDERS: Mapping[Measure, Callable[[Asked, Question, NucleusField], _Finding]] = {
    "count": _count,
    "dominant": _dominant,
    "present": _present,
    "more": _more,
    "share": _share,
    "ki67": _ki67,
    "density": _density,
    "where": _where,
    "clusters": _clusters,
    "cluster_count": _clusters,
    "cluster_present": _clusters,
}


def _table(field: NucleusField, categories: Sequence[str]) -> str:
    """Nuclei by category, in words."""
    counts = {k: n for k, n in field.counts.items() if not categories or k in categories}
    return (", ".join(f"{name} {n}" for name, n in counts.items()) or "No nuclei") + "."


def _marked(field: NucleusField, sign: str) -> list[str]:
    """Categories of nuclei that are stained, or are not."""
    return [name for name in field.categories if means(name, sign)]


def _zone(option: str) -> str | None:
    """The place that an option names."""
    words = {_SAME_PLACE.get(word, word) for word in folded(option).replace("-", " ").split()}
    named = [name for name in _ZONES if set(name.split()) <= words]
    return named[0] if named else None


# Options


def _choice(found: _Finding, options: Sequence[str]) -> int | None:
    """The one option that is right; None for none, several, or a tie."""
    if not options or found.tied:
        return None
    if found.number is not None:
        right = [i for i, option in enumerate(options) if _holds(option, found.number)]
    else:
        said = _zone(found.said) or found.said
        right = [i for i, option in enumerate(options) if said in (_zone(option), option)]
        if not right and (index := choice_of(found.said, options)) is not None:
            right = [index]
        right = right or [i for i, o in enumerate(options) if _alike(found.said, o)]
    return right[0] if len(right) == 1 else None


def _alike(name: str, option: str) -> bool:
    return any(means(name, word) for word in folded(option).split())


_AT_MOST = r"(?:<=|\u2264|at most|up to|(?:no|not) (?:more|over|above)(?: than)?)"
_AT_LEAST = r"(?:>=|\u2265|at least|(?:no|not) (?:fewer|less|under|below)(?: than)?)"
# From its first digit on and whole, so that thousands of digits are looked at once.
_NUMBER = r"(?<![\d.])(\d++(?:\.\d++)?)"
_RANGES: tuple[tuple[str, Callable[[float, float, float], bool]], ...] = (
    (rf"{_NUMBER}\s*(?:-|\u2013|to)\s*{_NUMBER}", lambda n, low, high: low <= n <= high),
    (rf"between\s+{_NUMBER}\s+and\s+{_NUMBER}", lambda n, low, high: low <= n <= high),
    (rf"{_AT_MOST}\s*{_NUMBER}()", lambda n, high, _: n <= high),
    (rf"{_AT_LEAST}\s*{_NUMBER}()", lambda n, low, _: n >= low),
    (rf"{_NUMBER}\s*(?:or (?:fewer|less|below|under))()", lambda n, high, _: n <= high),
    (rf"{_NUMBER}\s*(?:\+|(?:or|and) (?:more|above|over))()", lambda n, low, _: n >= low),
    (rf"(?:<|less than|fewer than|under|below)\s*{_NUMBER}()", lambda n, high, _: n < high),
    (rf"(?:>|more than|over|above)\s*{_NUMBER}()", lambda n, low, _: n > low),
)


def _holds(option: str, number: float) -> bool:
    """Whether an option is this number, to as many places as it has, or a range that it lies in."""
    text = with_plain_numbers(option)
    for pattern, holds in _RANGES:
        if match := re.search(pattern, text):
            return holds(number, float(match[1]), float(match[2] or 0))
    if match := re.search(_NUMBER, text):
        places = len(match[1].partition(".")[2])
        return round(number, places) == float(match[1])
    return False
