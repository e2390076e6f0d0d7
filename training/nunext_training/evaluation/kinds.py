"""How good answers are at each kind of derived question, and over the kinds.

A kind has one figure: how often the answer is right, how close a number is, or the average
precision of boxes at an IoU of 0.5. Their mean weighs each kind alike, however many questions of it
there are: most windows have a count, and few a quadrant that holds clearly most.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.bootstrap import Drawings, interval_of, ratio
from nunext_training.evaluation.answer_scores import Figure, table_of
from nunext_training.method.answer_rewards import answer_reward, boxes_reward, subtype_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.evaluation.answer_scores import Answered
    from nunext_training.evaluation.tables import Table
    from nunext_training.method.answer_rewards import SeenAnswer

MEAN = "mean of kinds"


def worth(task: str, seen: SeenAnswer) -> float:
    """What an answer is worth, 0 to 1, by the reward of its task; NaN where none applies."""
    if task == "subtype":
        return subtype_reward(seen)
    if seen.truth.answer is None:
        return boxes_reward(seen)
    return answer_reward(seen)


def score_kinds(answered: Sequence[Answered]) -> dict[str, Figure]:
    """The figure of each kind, in the order in which they come, and their mean.

    Intervals are over images. Answers without a kind have no part in it: there is nothing, where
    none has one.
    """
    valued = [
        (each.image, each.kind, value)
        for each in answered
        if each.kind is not None and not math.isnan(value := worth(each.task, each.seen))
    ]
    if not valued:
        return {}
    images = {name: i for i, name in enumerate(dict.fromkeys(image for image, _, _ in valued))}
    kinds = {name: i for i, name in enumerate(dict.fromkeys(kind for _, kind, _ in valued))}
    sums, counts = np.zeros((2, len(images), len(kinds)))
    for image, kind, value in valued:
        sums[images[image], kinds[kind]] += value
        counts[images[image], kinds[kind]] += 1
    values = sums.sum(axis=0) / counts.sum(axis=0)
    drawn = None
    if len(images) > 1:
        drawings = Drawings(len(images))
        drawn = ratio(drawings.sums(sums), drawings.sums(counts), empty=np.nan)
    figures = {
        name: Figure(
            float(values[i]),
            None if drawn is None else interval_of(drawn[:, i]),
            int(counts[:, i].sum()),
        )
        for name, i in kinds.items()
    }
    # Of the kinds that a drawing has; there is always one.
    means = None if drawn is None else interval_of(np.nanmean(drawn, axis=1))
    return figures | {MEAN: Figure(float(values.mean()), means, len(valued))}


def table_of_kinds(figures: dict[str, Figure]) -> Table:
    """A row for each kind, and one for their mean."""
    return table_of(figures, title="Kinds of derived questions")
