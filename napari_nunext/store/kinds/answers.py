"""What a person says of answers: ratings, corrections, which of two is better.

The last opinion of each annotator counts, and everybody's is kept: agreement needs them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.opinions import Correction, Preference, Rating
from napari_nunext.core.answers.prompts import MOST_OPTIONS
from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nunext.store.event import Check, Event
    from napari_nunext.store.state.folding import Fold
    from napari_nunext.store.state.state import FieldState

ANSWERS, PAIRS = "answers", "pairs"
"""The marks of an image that opinions are kept in."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one person says of an answer."""

    rating: Rating = field(default_factory=Rating)
    correction: Correction = field(default_factory=Correction)

    @property
    def says_nothing(self) -> bool:
        """Whether it is none."""
        return self.rating.says_nothing and self.correction.says_nothing


def opinions(state: FieldState) -> Mapping[str, Mapping[str, Opinion]]:
    """What each annotator says of each answer about an image, by the answer's id, then by name."""
    return MappingProxyType(state.said.get(ANSWERS, {}))


def preferences(state: FieldState) -> Mapping[tuple[str, str], Mapping[str, Preference]]:
    """Which answer each annotator prefers, by `Preference.pair`, then by name."""
    return MappingProxyType(state.said.get(PAIRS, {}))


_BY_ANOTHER: Mapping[str, Check] = {"reader": checks.is_words}
"""Whose opinion it is, where the annotator only brings it in, as from an export."""


def _reader(event: Event) -> str | None:
    return event.payload.get("reader", event.annotator)


def _of(reader: str | None) -> dict[str, Any]:
    return {} if reader is None else {"reader": reader}


def _say_of(fold: Fold, event: Event, **changes: Any) -> None:
    answers, answer_id = fold.said.get(ANSWERS, {}), event.payload["answer_id"]
    mine = answers.get(answer_id, {}).get(_reader(event), Opinion())
    of_answer = {**answers.get(answer_id, {}), _reader(event): replace(mine, **changes)}
    fold.say(ANSWERS, {**answers, answer_id: of_answer})


RATE_ANSWER = declare(
    EventKind(
        name="rate_answer",
        about="image",
        words="rated an answer",
        payload={"answer_id": checks.is_uuid, "rating": checks.is_read_by(Rating.from_json)},
        optional=_BY_ANOTHER,
        fold=lambda fold, event: _say_of(
            fold, event, rating=Rating.from_json(event.payload["rating"])
        ),
    )
)


def rate_answer(
    image_sha256: str, answer_id: str, rating: Rating, *, reader: str | None = None
) -> Event:
    """Say how good an answer is; what the same person said of that before is replaced.

    `reader` is whose opinion it is, where whoever writes it down is another.
    """
    said = {"answer_id": answer_id, "rating": rating.to_json()}
    return RATE_ANSWER(image_sha256, said | _of(reader))


CORRECT_ANSWER = declare(
    EventKind(
        name="correct_answer",
        about="image",
        words="corrected an answer",
        payload={
            "answer_id": checks.is_uuid,
            "correction": checks.is_read_by(Correction.from_json),
        },
        optional=_BY_ANOTHER,
        fold=lambda fold, event: _say_of(
            fold, event, correction=Correction.from_json(event.payload["correction"])
        ),
    )
)


def correct_answer(
    image_sha256: str, answer_id: str, correction: Correction, *, reader: str | None = None
) -> Event:
    """Say what an answer should have said; the same person's correction before is replaced.

    `reader` is whose opinion it is, where whoever writes it down is another.
    """
    said = {"answer_id": answer_id, "correction": correction.to_json()}
    return CORRECT_ANSWER(image_sha256, said | _of(reader))


def _compare(fold: Fold, event: Event) -> None:
    preference = Preference.from_json(event.payload["preference"])
    pairs = fold.said.get(PAIRS, {})
    of_pair = {**pairs.get(preference.pair, {}), _reader(event): preference}
    fold.say(PAIRS, {**pairs, preference.pair: of_pair})


COMPARE_ANSWERS = declare(
    EventKind(
        name="compare_answers",
        about="image",
        words="compared two answers",
        payload={"preference": checks.is_read_by(Preference.from_json)},
        optional=_BY_ANOTHER,
        fold=_compare,
    )
)


def compare_answers(
    image_sha256: str, preference: Preference, *, reader: str | None = None
) -> Event:
    """Say which of two answers is better.

    `reader` is whose opinion it is, where whoever writes it down is another.
    """
    return COMPARE_ANSWERS(image_sha256, {"preference": preference.to_json()} | _of(reader))


KEEP_OPTIONS = declare(
    EventKind(
        name="keep_options",
        about="project",
        words="kept a list of options",
        payload={
            "name": checks.is_words,
            "options": lambda value: (
                isinstance(value, list)
                and len(value) <= MOST_OPTIONS
                and all(map(checks.is_words, value))
            ),
        },
        undoable=False,
    )
)


def keep_options(name: str, options: Sequence[str]) -> Event:
    """Keep a list to choose from, as of subtypes, under a name; an empty list forgets it."""
    return KEEP_OPTIONS(None, {"name": name, "options": list(options)})


def kept_options(events: Sequence[Event]) -> dict[str, tuple[str, ...]]:
    """The lists that a project keeps, by name, of the events about it in the journal's order."""
    kept: dict[str, tuple[str, ...]] = {}
    for event in events:
        if event.kind == KEEP_OPTIONS.name:
            kept[event.payload["name"]] = tuple(event.payload["options"])
    return {name: options for name, options in kept.items() if options}
