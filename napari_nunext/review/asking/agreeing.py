"""What the judgements of a project add up to: whether readers agree, whom they prefer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from napari_nunext.core.answers.agreement import rating_agreement
from napari_nunext.core.answers.ranking import Vote, rank
from napari_nunext.store.kinds.answers import opinions, preferences

if TYPE_CHECKING:
    from napari_nunext.store import Project
    from napari_nunext.store.answers import Answer


def judgements_in_words(project: Project) -> tuple[str, ...]:
    """A sentence on whether readers agree, and one on which answerer they prefer. Slow."""
    answers = {answer.answer_id: answer for answer in project.answers()}
    stars: dict[str, dict[str, float | None]] = defaultdict(dict)
    votes = []
    for sha256 in {answer.image_sha256 for answer in answers.values()}:
        state = project.state(sha256, no_runs=True)
        for answer_id, by_reader in opinions(state).items():
            for reader, opinion in by_reader.items():
                stars[reader][answer_id] = opinion.rating.stars
        for of_pair in preferences(state).values():
            for reader, preference in of_pair.items():
                left, right = answers[preference.left_id], answers[preference.right_id]
                names = _names(left, right)
                votes.append(Vote(*names, preference.preferred, preference.blind, reader))
    return rating_agreement(stars).in_words, rank(votes).in_words


def _names(left: Answer, right: Answer) -> tuple[str, str]:
    """What is compared: answerers, or the budgets of one."""
    if left.by.name != right.by.name or left.asked.budget == right.asked.budget:
        return left.by.name, right.by.name
    first, second = (f"{a.by.name} with {a.asked.budget} image tokens" for a in (left, right))
    return first, second
