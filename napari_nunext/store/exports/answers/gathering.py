"""What readers judged of a project's answers, and what of it may be learned from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from napari_nunext.store.kinds.answers import opinions, preferences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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


def judged_answers(project: Project, readers: Collection[str] | None = None) -> JudgedAnswers:
    """Gather what these readers judged; everybody's judgements where None."""
    by_image: dict[str, list[Answer]] = defaultdict(list)
    for answer in project.answers():
        by_image[answer.image_sha256].append(answer)
    found: dict[str, JudgedAnswer] = {}
    votes: dict[tuple[str, str], Mapping[str, Preference]] = {}
    restricted = 0
    for entry in project.images():
        if entry.sha256 not in by_image:
            continue
        state = project.state(entry.sha256, no_runs=True)
        said = {
            answer_id: _by(readers, {r: o for r, o in of.items() if not o.says_nothing})
            for answer_id, of in opinions(state).items()
        }
        cast = {
            pair: _by(readers, {r: v for r, v in of.items() if v.preferred != "skipped"})
            for pair, of in preferences(state).items()
        }
        compared = {answer_id for pair, of in cast.items() if of for answer_id in pair}
        for answer in by_image[entry.sha256]:
            mine = said.get(answer.answer_id, {})
            if not mine and answer.answer_id not in compared:
                continue
            if answer.by.may_train:
                found[answer.answer_id] = JudgedAnswer(entry, answer, mine)
            else:
                restricted += 1
        votes |= {pair: of for pair, of in cast.items() if of and set(pair) <= found.keys()}
    alone = {a for a, j in found.items() if not j.opinions} - {a for pair in votes for a in pair}
    kept = {answer_id: j for answer_id, j in found.items() if answer_id not in alone}
    return JudgedAnswers(kept, votes, restricted)


def _by(readers: Collection[str] | None, said: Mapping[str, T]) -> dict[str, T]:
    return {r: said[r] for r in sorted(said) if readers is None or r in readers}
