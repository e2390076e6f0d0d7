"""What the judgements of a project add up to: whether readers agree, whom they prefer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.answers.agreement import choice_agreement, rating_agreement
from napari_nunext.core.answers.opinions import GOOD_STARS
from napari_nunext.core.answers.ranking import Vote, rank
from napari_nunext.core.answers.reply import choice_of
from napari_nunext.store.kinds.answers import opinions, preferences

if TYPE_CHECKING:
    from napari_nunext.core.answers.agreement import Agreement
    from napari_nunext.core.answers.enough import NotEnough
    from napari_nunext.core.answers.ranking import Ranking
    from napari_nunext.store import Project
    from napari_nunext.store.answers import Answer
    from napari_nunext.store.kinds.answers import Opinion


@dataclass(frozen=True, slots=True)
class Judgements:
    """What readers' judgements add up to, each a figure or why there is none yet."""

    ratings: Agreement | NotEnough
    choices: Agreement | NotEnough | None
    """None where nobody chose among options."""
    ranking: Ranking | NotEnough

    @property
    def in_words(self) -> tuple[str, ...]:
        """A sentence each."""
        agreements = [each for each in (self.ratings, self.choices) if each is not None]
        return *(each.in_words for each in agreements), self.ranking.in_words


def judgements_of(project: Project) -> Judgements:
    """Whether readers agree, and which answerer they prefer. Slow.

    A reader chose, of the options of a question, what they corrected an answer to, or what it says
    where they rated it as right. Where nobody chose, nothing is said of choices.
    """
    answers = {answer.answer_id: answer for answer in project.answers()}
    stars: dict[str, dict[str, float | None]] = defaultdict(dict)
    choices: dict[str, dict[str, int | None]] = defaultdict(dict)
    votes = []
    for sha256 in {answer.image_sha256 for answer in answers.values()}:
        state = project.state(sha256, no_runs=True)
        for answer_id, by_reader in opinions(state).items():
            for reader, opinion in by_reader.items():
                stars[reader][answer_id] = opinion.rating.stars
                choices[reader][answer_id] = _choice(answers[answer_id], opinion)
        for of_pair in preferences(state).values():
            for reader, preference in of_pair.items():
                left, right = answers[preference.left_id], answers[preference.right_id]
                names = _names(left, right)
                votes.append(Vote(*names, preference.preferred, preference.blind, reader))
    chose = any(choice is not None for chosen in choices.values() for choice in chosen.values())
    return Judgements(
        rating_agreement(stars), choice_agreement(choices) if chose else None, rank(votes)
    )


def _choice(answer: Answer, opinion: Opinion) -> int | None:
    """Which option a reader holds to be right, as far as they said."""
    text = opinion.correction.text
    if text is not None:
        return choice_of(text, answer.asked.question.options)
    return answer.said.choice if (opinion.rating.stars or 0) >= GOOD_STARS else None


def _names(left: Answer, right: Answer) -> tuple[str, str]:
    """What is compared: answerers, or the budgets of one."""
    first, second = (_spending(answer) for answer in (left, right))
    if left.by.name != right.by.name or first == second:
        return left.by.name, right.by.name
    return f"{left.by.name} with {first}", f"{right.by.name} with {second}"


def _spending(answer: Answer) -> str:
    """How many image tokens an answer could cost."""
    asked = answer.asked
    chose = "" if asked.look_tokens is None else "as many as it chooses of "
    return f"{chose}{asked.budget} image tokens"
