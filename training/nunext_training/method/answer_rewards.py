"""Rewards of answers, as pure functions of a reply and what is known to be right.

"Bilateral pathology reasoning" (arXiv 2505.15687): ``R = R_task + lambda R_format`` with lambda 1,
where R_task is that of a question (Eq. 7), of subtyping (Eq. 8), of lesions (Eq. 9), or of a choice
of image tokens (Eq. 10).

Ours, because the paper does not say: which BLEU (sentence BLEU-4 with exponential smoothing and
effective order; without the latter, any answer of fewer than four words is worth 0, an exact one
too); numbers are worth how close they are; nothing said where nothing is has average precision 1;
boxes count in the order written, as language models give no scores.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.reply import choice_of, folded
from napari_nunext.core.errors import InputError
from napari_nunext.core.scores.boxes import average_precision
from nunext_training.method.register import Rewards, weighed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nunext.core.answers.reply import Reply
    from napari_nunext.core.geometry import Box

ANSWER_REWARDS = Rewards("nunext_training.answer_rewards")
"""The rewards of answers, by the names that recipes weigh."""

CLOSE_AT_LEAST = 4
"""A number is worth nothing when it is off by so much, or by all of a larger truth (ours)."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_CLOSED = frozenset({"yes", "no"})


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known to be right; None where that is not known."""

    answer: str | None = None
    boxes: tuple[Box, ...] | None = None
    """In any order; none where there is no lesion."""


@dataclass(frozen=True, slots=True)
class SeenAnswer:
    """What a reward looks at: a reply, and what is known of it."""

    reply: Reply
    truth: Truth = field(default_factory=Truth)
    options: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    """Read from the reply, in the order written, in the pixels of the truth."""
    rating: float | None = None
    """A person's, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """What an answer is worth."""

    reward: float
    terms: Mapping[str, float]
    """What each reward said, before its weight; those that can say nothing are not there."""


def score_answer(seen: SeenAnswer, weights: Mapping[str, float]) -> ScoredAnswer:
    """``R = R_task + lambda R_format``, or any other sum: weights by the rewards' names.

    A reward that needs what is not known (no truth, no rating) is left out of the sum.

    Raises
    ------
    InputError
        If there is no reward of a name, or none of them but the format can say anything.
    """
    said = ANSWER_REWARDS.terms(weights, seen)
    terms = {name: value for name, value in said.items() if not math.isnan(value)}
    if not terms.keys() - {"format"}:
        raise InputError(
            "An answer has neither a truth nor a rating that these rewards look at "
            f"({', '.join(weights)}). Leave it out, or add the reward rating."
        )
    return ScoredAnswer(weighed(terms, weights), terms)


@ANSWER_REWARDS.register("format")
def format_reward(seen: SeenAnswer) -> float:
    """1 where the reply is exactly a thought and an answer, else 0."""
    return float(seen.reply.exact)


@ANSWER_REWARDS.register("answer")
def answer_reward(seen: SeenAnswer) -> float:
    """Eq. 7: closed questions 1 for the right answer, else 0; open ones BLEU; numbers by closeness.

    A question is closed where it has options, or its truth is yes or no.
    """
    truth, said = seen.truth.answer, seen.reply.answer
    if truth is None:
        return math.nan
    if seen.options or folded(truth) in _CLOSED:
        return float(_is_right(said, truth, seen.options))
    number = as_number(truth)
    if number is not None:
        return closeness(as_number(said), number)
    return bleu(said, truth)


@ANSWER_REWARDS.register("subtype")
def subtype_reward(seen: SeenAnswer) -> float:
    """Eq. 8: 1 for the right category, else 0."""
    truth = seen.truth.answer
    if truth is None or not seen.options:
        return math.nan
    return float(_is_right(seen.reply.answer, truth, seen.options))


@ANSWER_REWARDS.register("boxes")
def boxes_reward(seen: SeenAnswer) -> float:
    """Eq. 9: average precision at IoU 0.5."""
    if seen.truth.boxes is None:
        return math.nan
    return average_precision(seen.boxes, seen.truth.boxes)


@ANSWER_REWARDS.register("boxes_found")
def boxes_found_reward(seen: SeenAnswer) -> float:
    """Eq. 9 of images with lesions alone.

    Weighed beside `boxes_absent`, so that saying nothing does not pay as much as finding what is
    there (ours): where half of the images have no lesion, a model learns to say so of all.
    """
    return boxes_reward(seen) if seen.truth.boxes else math.nan


@ANSWER_REWARDS.register("boxes_absent")
def boxes_absent_reward(seen: SeenAnswer) -> float:
    """1 where there is no lesion and none is said, 0 where one is; of images without any alone."""
    return boxes_reward(seen) if seen.truth.boxes == () else math.nan


@ANSWER_REWARDS.register("rating")
def rating_reward(seen: SeenAnswer) -> float:
    """What a person thought of it, where nothing else is known."""
    is_known = seen.truth.answer is not None or seen.truth.boxes is not None
    return math.nan if seen.rating is None or is_known else seen.rating


def allocation_reward(
    reward: float, reward_before: float, tokens: int, tokens_before: int, mu: float
) -> float:
    """Eq. 10, reconstructed: ``(r(n') - r(n)) - mu (n' - n) / n``.

    Parameters
    ----------
    reward, reward_before : float
        The performer's at the tokens that were chosen, and at those of the image under the budget.
    tokens, tokens_before : int
        n' and n.
    mu : float
        What all of the image's tokens are worth: 0.02 to 0.1. At 0.5, as in the paper, half of the
        reward is for sale, and the choice collapses to the smallest.

    Raises
    ------
    InputError
        If a count of tokens is not positive.
    """
    if tokens < 1 or tokens_before < 1:
        raise InputError(f"{tokens} of {tokens_before} image tokens; expected 1 or more of each.")
    return (reward - reward_before) - mu * (tokens - tokens_before) / tokens_before


def closeness(said: float | None, truth: float) -> float:
    """``1 - |d| / max(4, n)``, at least 0 (ours); 0 where no number is said."""
    if said is None:
        return 0.0
    return max(0.0, 1 - abs(said - truth) / max(CLOSE_AT_LEAST, abs(truth)))


def as_number(text: str) -> float | None:
    """The one number that a text says; None for none or two."""
    found = _NUMBER.findall(text.replace(",", ""))
    return float(found[0]) if len(found) == 1 else None


def bleu(said: str, truth: str, *, order: int = 4) -> float:
    """Sentence BLEU of folded texts, 0 to 1."""
    score: float = _bleu(order).sentence_score(folded(said), [folded(truth)]).score
    return score / 100


@cache
def _bleu(order: int) -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(max_ngram_order=order, smooth_method="exp", effective_order=True)


def _is_right(said: str, truth: str, options: Sequence[str]) -> bool:
    if not options:
        return folded(said) == folded(truth)
    right = choice_of(truth, options)
    return right is not None and choice_of(said, options) == right
