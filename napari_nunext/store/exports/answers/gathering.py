"""What readers judged of a project's answers, and what of it may be learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from napari_nunext.store.kinds.answers import opinions, preferences

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from napari_nunext.core.answers.opinions import Preference
    from napari_nunext.store.answers import Answer
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.kinds.answers import Opinion
    from napari_nunext.store.project import Project

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer that somebody judged, by itself or beside another."""

    entry: ImageEntry
    answer: Answer
    opinions: Mapping[str, Opinion]
    """By reader, in the order of their names; empty where it was only compared."""


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """What readers judged in a project."""

    answers: Mapping[str, JudgedAnswer] = field(default_factory=dict)
    """By id, in the order of the images and then as they were asked."""
    votes: Mapping[tuple[str, str], Mapping[str, Preference]] = field(default_factory=dict)
    """By pair, then by reader in the order of their names. Both answers are in `answers`."""
    restricted: int = 0
    """Judged answers that were left out, because their model's terms forbid to learn from them."""

    def of(self, entry: ImageEntry) -> list[JudgedAnswer]:
        """Those about an image."""
        return [j for j in self.answers.values() if j.entry.sha256 == entry.sha256]

    def texts(self) -> Iterator[str]:
        """All words that would leave: of questions, answers, corrections and comments."""
        for judged in self.answers.values():
            asked, said = judged.answer.asked, judged.answer.said
            yield " ".join((asked.question.text, asked.question.organ, *asked.question.options))
            yield " ".join((said.raw, said.reasoning, said.think, said.answer))
            for opinion in judged.opinions.values():
                yield opinion.rating.comment
                yield opinion.correction.text or ""
                yield " ".join(box.label for box in opinion.correction.boxes or ())


def judged_answers(project: Project, readers: Collection[str] | None = None) -> JudgedAnswers:
    """Gather what these readers judged; everybody's judgements where None."""
    entries = {entry.sha256: entry for entry in project.images()}
    by_image: dict[str, list[Answer]] = {sha256: [] for sha256 in entries}
    for answer in project.answers():
        by_image[answer.image_sha256].append(answer)
    said: dict[str, Mapping[str, Opinion]] = {}
    cast: dict[tuple[str, str], Mapping[str, Preference]] = {}
    for sha256, answers in by_image.items():
        if answers:
            state = project.state(sha256, no_runs=True)
            said |= {a: _by(readers, of, _says_nothing) for a, of in opinions(state).items()}
            for pair, of in preferences(state).items():
                # Imported answers about two crops are on two images, and so may be their votes.
                cast[pair] = _by(readers, {**cast.get(pair, {}), **of}, _skips)
    compared = {answer_id for pair, of in cast.items() if of for answer_id in pair}
    judged = [
        JudgedAnswer(entries[sha256], answer, said.get(answer.answer_id, {}))
        for sha256, answers in by_image.items()
        for answer in answers
        if said.get(answer.answer_id) or answer.answer_id in compared
    ]
    free = {each.answer.answer_id: each for each in judged if each.answer.by.may_train}
    votes = {pair: of for pair, of in cast.items() if of and free.keys() >= set(pair)}
    beside = {answer_id for pair in votes for answer_id in pair}
    kept = {a: each for a, each in free.items() if each.opinions or a in beside}
    return JudgedAnswers(kept, votes, restricted=len(judged) - len(free))


def _by(
    readers: Collection[str] | None, said: Mapping[str, T], is_none: Callable[[T], bool]
) -> dict[str, T]:
    """What these readers said, in the order of their names."""
    return {
        reader: said[reader]
        for reader in sorted(said)
        if (readers is None or reader in readers) and not is_none(said[reader])
    }


def _says_nothing(opinion: Opinion) -> bool:
    return opinion.says_nothing


def _skips(vote: Preference) -> bool:
    return vote.preferred == "skipped"
