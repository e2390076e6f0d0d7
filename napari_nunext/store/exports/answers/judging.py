"""What readers' opinions of answers add up to, for training. Pure.

The last opinion of each reader counts. Where readers contradict each other, nothing is taught:
neither side is right until they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.answers.opinions import GOOD_STARS, MOST_STARS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.core.answers.opinions import Correction, Preference, Tag
    from napari_nunext.store.kinds.answers import Opinion

BAD_STARS = 2
"""Up to here an answer is wrong, or right in part only."""


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """What readers say of an answer."""

    accepted: bool = False
    """All who rated it call it right, and nobody corrected it."""
    bad: bool = False
    """All who rated it call it wrong or partly right."""
    correction: Correction | None = None
    """What all who corrected it say, where nobody calls it right as it is."""
    rating: float | None = None
    """Mean of ``(stars - 1) / 4``."""
    tags: tuple[Tag, ...] = ()
    """Reasons that anybody gave."""
    disputed: bool = False
    """Whether readers contradict each other: good and bad, right and corrected, two corrections."""


def judge_answer(opinions: Iterable[Opinion]) -> AnswerVerdict:
    """Add up what readers say of an answer, an opinion each."""
    said = list(opinions)
    stars = [o.rating.stars for o in said if o.rating.stars is not None]
    corrections = {o.correction for o in said if not o.correction.says_nothing}
    right_as_it_is = [
        o for o in said if o.correction.says_nothing and (o.rating.stars or 0) >= GOOD_STARS
    ]
    contested = len(corrections) > 1 or bool(corrections and right_as_it_is)
    torn = bool(stars) and min(stars) <= BAD_STARS and max(stars) >= GOOD_STARS
    given = {tag for o in said for tag in o.rating.tags}
    return AnswerVerdict(
        accepted=bool(stars) and min(stars) >= GOOD_STARS and not corrections,
        bad=bool(stars) and max(stars) <= BAD_STARS,
        correction=None if contested or not corrections else next(iter(corrections)),
        rating=sum((each - 1) / 4 for each in stars) / len(stars) if stars else None,
        tags=tuple(tag for tag in MOST_STARS if tag in given),
        disputed=contested or (torn and not corrections),
    )


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """What readers say of two answers."""

    better_id: str | None = None
    """The answer that all prefer; None where there is none."""
    both_bad: bool = False
    """All call both bad."""
    blind: bool = False
    """Whether who answered was hidden from all of them."""
    disputed: bool = False
    """Whether readers contradict each other."""


def judge_pair(votes: Iterable[Preference]) -> PairVerdict:
    """Add up the votes on one pair, one a reader; skipped ones are none.

    A vote with names in sight is of another kind: where there are blind ones, they alone count.
    """
    cast = [vote for vote in votes if vote.preferred != "skipped"]
    blind = [vote for vote in cast if vote.blind]
    outcomes = {vote.better_id or vote.preferred for vote in blind or cast}
    if len(outcomes) != 1:
        return PairVerdict(blind=bool(blind), disputed=bool(outcomes))
    outcome = outcomes.pop()
    return PairVerdict(
        better_id=None if outcome in ("tie", "both_bad") else outcome,
        both_bad=outcome == "both_bad",
        blind=bool(blind),
    )
