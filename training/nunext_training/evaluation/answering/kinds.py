"""How good answers are at each kind of question, and over the kinds.

A kind has one figure: how often the answer is right, how close a number is, or the average
precision of boxes at an IoU of 0.5. Their mean weighs each kind alike, however many questions of it
there are: most windows have a count, and few a quadrant that holds clearly most.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.bootstrap import Drawings, interval_of, ratio
from napari_nunext.core.errors import InputError
from nunext_training.evaluation.answering.answer_scores import Figure, table_of
from nunext_training.method.answer_rewards import answer_reward, boxes_reward, subtype_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nunext_training.evaluation.answering.answer_scores import Answered
    from nunext_training.evaluation.tables import Table
    from nunext_training.method.answer_rewards import SeenAnswer

MEAN = "mean of kinds"
Valued: TypeAlias = tuple[str, str, float]
"""Which image an answer is about, the kind of its question, and what it is worth, 0 to 1."""


def worth(task: str, seen: SeenAnswer) -> float:
    """What an answer is worth, 0 to 1, by the reward of its task; NaN where none applies."""
    if task == "subtype":
        return subtype_reward(seen)
    if seen.truth.answer is None:
        return boxes_reward(seen)
    return answer_reward(seen)


def score_kinds(answered: Sequence[Answered]) -> dict[str, Figure]:
    """The figure of each kind, in the order in which they come, and their mean.

    Intervals are over images.
    """
    return score_values(values_of(answered))


def values_of(answered: Sequence[Answered]) -> list[Valued]:
    """What each answer is worth, by its kind; by its task, where its question was not derived."""
    return [
        (each.image, each.kind or each.task, value)
        for each in answered
        if not math.isnan(value := worth(each.task, each.seen))
    ]


def score_values(valued: Sequence[Valued]) -> dict[str, Figure]:
    """As `score_kinds`, of what answers are worth; those of several models may be among them."""
    if not valued:
        return {}
    tally = _Tally(valued, names_of(valued, 0), names_of(valued, 1))
    drawn = None if len(tally.sums) < 2 else tally.drawn()
    figures = {
        name: Figure(
            float(tally.means[i]),
            None if drawn is None else interval_of(drawn[:, i]),
            int(tally.counts[:, i].sum()),
        )
        for i, name in enumerate(tally.kinds)
    }
    # Of the kinds that a drawing has; there is always one.
    means = None if drawn is None else interval_of(np.nanmean(drawn, axis=1))
    return figures | {MEAN: Figure(float(tally.means.mean()), means, len(valued))}


def gain(valued: Sequence[Valued], beside: Sequence[Valued]) -> Figure:
    """How much better the mean of kinds is than that of other answers to the same questions.

    Its interval is of the difference: both are drawn together, image by image.

    Raises
    ------
    InputError
        If they are not about the same images and kinds.
    """
    images, kinds = names_of(valued, 0), names_of(valued, 1)
    if {*images} != {*names_of(beside, 0)} or {*kinds} != {*names_of(beside, 1)}:
        raise InputError(
            "The answers are about other images or kinds of questions than those that they are "
            "put beside. Score both on the same exports and split."
        )
    mine, others = (_Tally(each, images, kinds) for each in (valued, beside))
    interval = None
    if len(images) > 1:
        drawn = np.nanmean(mine.drawn(), axis=1) - np.nanmean(others.drawn(), axis=1)
        interval = interval_of(drawn)
    return Figure(float(mine.means.mean() - others.means.mean()), interval, len(valued))


def names_of(valued: Sequence[Valued], place: int) -> tuple[str, ...]:
    """The images (0) or kinds (1) of values, each once, in the order in which they come."""
    return tuple(dict.fromkeys(str(each[place]) for each in valued))


class _Tally:
    """Sums and counts of values, by image and kind."""

    def __init__(
        self, valued: Sequence[Valued], images: Sequence[str], kinds: Sequence[str]
    ) -> None:
        self.kinds = kinds
        rows = {name: i for i, name in enumerate(images)}
        columns = {name: i for i, name in enumerate(kinds)}
        self.sums, self.counts = np.zeros((2, len(images), len(kinds)))
        for image, kind, value in valued:
            self.sums[rows[image], columns[kind]] += value
            self.counts[rows[image], columns[kind]] += 1
        self.means: NDArray[np.float64] = self.sums.sum(axis=0) / self.counts.sum(axis=0)

    def drawn(self) -> NDArray[np.float64]:
        """Figures of drawings of images, shape (drawings, kinds); NaN where a kind is missing."""
        drawings = Drawings(len(self.sums))
        return ratio(drawings.sums(self.sums), drawings.sums(self.counts), empty=np.nan)


def table_of_kinds(figures: dict[str, Figure]) -> Table:
    """A row for each kind, and one for their mean."""
    return table_of(figures, title="Kinds of questions")
