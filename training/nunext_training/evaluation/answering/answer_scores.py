"""How good answers are, in the figures of "Bilateral pathology reasoning" (arXiv 2505.15687).

Of closed questions the accuracy, of open ones BLEU, of subtypes balanced accuracy and weighted F1,
of lesions the mean average precision at IoU 0.1, 0.3 and 0.5; and what a picture costs in image
tokens (TPI). Numbers are ours: how close they are.

Average precision is that of each picture, and averaged over pictures (ours): language models give
no scores, by which boxes of several pictures would be ranked together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.answers.reply import choice_of, folded
from napari_nunext.core.bootstrap import Drawings, interval_of, ratio
from napari_nunext.core.scores.boxes import average_precision
from nunext_training.evaluation.tables import Table
from nunext_training.method.answer_rewards import answer_reward, as_number, bleu

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval
    from nunext_training.method.answer_rewards import SeenAnswer

IOUS = (0.1, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply to a question whose answer is known."""

    image: str
    """Which image it is about: answers about one image are drawn together."""
    task: str
    seen: SeenAnswer
    image_tokens: int
    output_tokens: int = 0
    followed: Mapping[str, float] = field(default_factory=dict)
    """Whether it follows from what it goes by, by the figure's name; see `following`."""
    kind: str | None = None
    """Of a derived question, as its record has it."""
    subset: str | None = None
    """Part of a published set, as its record has it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over answers, and how far it would move with other images."""

    value: float
    interval: Interval | None
    """None where there are fewer than two images."""
    answers: int
    """How many it is of."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        interval = None if self.interval is None else self.interval.to_json()
        return {"value": self.value, "interval": interval, "answers": self.answers}


def score_answers(answered: Sequence[Answered]) -> dict[str, Figure]:
    """Every figure that the answers have questions for.

    Returns
    -------
    dict
        Of ``closed_accuracy``, ``open_bleu``, ``open_bleu_1``, ``number_closeness``,
        ``subtype_accuracy``, ``subtype_balanced_accuracy``, ``subtype_weighted_f1``, ``map``,
        ``map_0.1``, ``map_0.3``, ``map_0.5``, ``format``, ``thinks``, ``tokens_per_image``,
        ``output_tokens``, ``follows_its_evidence`` and ``follows_its_figures``.
    """
    images = {name: i for i, name in enumerate(dict.fromkeys(a.image for a in answered))}
    drawings = Drawings(len(images)) if len(images) > 1 else None
    figures = {}
    for name, values in _values(answered).items():
        figures[name] = _mean(_by_image(values, images), drawings)
    subtypes = [a for a in answered if a.task == "subtype" and a.seen.truth.answer is not None]
    if subtypes:
        figures |= _of_subtypes(subtypes, images, drawings)
    return figures


def score_subsets(answered: Sequence[Answered]) -> dict[str, dict[str, Figure]]:
    """As `score_answers`, of each part of a published set; empty where the set has no parts."""
    names = dict.fromkeys(each.subset for each in answered if each.subset is not None)
    return {
        name: score_answers([each for each in answered if each.subset == name]) for name in names
    }


def figure_of(values: Sequence[tuple[str, float]]) -> Figure:
    """The mean of values, each with the image that it is about."""
    images = {name: i for i, name in enumerate(dict.fromkeys(image for image, _ in values))}
    drawings = Drawings(len(images)) if len(images) > 1 else None
    return _mean(_by_image(values, images), drawings)


def table_of(figures: Mapping[str, Figure], title: str = "Answers") -> Table:
    """Each figure with its interval, a row each."""
    rows = tuple(
        (
            name,
            figure.value,
            None if figure.interval is None else figure.interval.low,
            None if figure.interval is None else figure.interval.high,
            str(figure.answers),
        )
        for name, figure in figures.items()
    )
    return Table(None, title, ("figure", "value", "95 % from", "to", "answers"), rows)


def _values(answered: Sequence[Answered]) -> Mapping[str, list[tuple[str, float]]]:
    """Of each figure that is a mean, the image and the value of each answer that has one."""
    found: dict[str, list[tuple[str, float]]] = {}
    for each in answered:
        for name, value in _of_one(each):
            found.setdefault(name, []).append((each.image, value))
    return found


def _of_one(answered: Answered) -> Iterator[tuple[str, float]]:
    seen = answered.seen
    yield "format", float(seen.reply.exact)
    yield "thinks", float(bool(seen.reply.think.strip()))
    yield "tokens_per_image", answered.image_tokens
    yield "output_tokens", answered.output_tokens
    yield from answered.followed.items()
    truth = seen.truth
    if truth.boxes is not None:
        precisions = [average_precision(seen.boxes, truth.boxes, iou) for iou in IOUS]
        for iou, value in zip(IOUS, precisions, strict=True):
            yield f"map_{iou}", value
        yield "map", float(np.mean(precisions))
    if truth.answer is None:
        return
    if answered.task == "subtype":
        yield "subtype_accuracy", answer_reward(seen)
    elif seen.options or folded(truth.answer) in ("yes", "no"):
        yield "closed_accuracy", answer_reward(seen)
    elif as_number(truth.answer) is not None:
        yield "number_closeness", answer_reward(seen)
    else:
        yield "open_bleu", bleu(seen.reply.answer, truth.answer)
        yield "open_bleu_1", bleu(seen.reply.answer, truth.answer, order=1)


def _of_subtypes(
    answered: Sequence[Answered], images: Mapping[str, int], drawings: Drawings | None
) -> dict[str, Figure]:
    """Over the categories that are true of some image; what names none of them is only wrong."""
    names = sorted({folded(a.seen.truth.answer or "") for a in answered})
    table = np.zeros((len(images), 3 * len(names)))  # true positives, misses, false positives
    for each in answered:
        row = table[images[each.image]]
        true, said = folded(each.seen.truth.answer or ""), _category(each.seen)
        at = names.index(true)
        if said == true:
            row[3 * at] += 1
        else:
            row[3 * at + 1] += 1
            if said in names:
                row[3 * names.index(said) + 2] += 1
    whole = table.sum(axis=0, keepdims=True)
    drawn = None if drawings is None else drawings.sums(table)
    return {
        name: Figure(
            float(of(whole)[0]), None if drawn is None else interval_of(of(drawn)), len(answered)
        )
        for name, of in (
            ("subtype_balanced_accuracy", _balanced_accuracy),
            ("subtype_weighted_f1", _weighted_f1),
        )
    }


def _category(seen: SeenAnswer) -> str:
    """The category that a reply names, folded; empty where it names none."""
    chosen = choice_of(seen.reply.answer, seen.options)
    return folded(seen.reply.answer if chosen is None else seen.options[chosen])


def _balanced_accuracy(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean recall of the categories that are there, of each row."""
    tp, missed = table[:, 0::3], table[:, 1::3]
    recall = ratio(tp, tp + missed, empty=np.nan)
    there = ~np.isnan(recall)
    return ratio(np.where(there, recall, 0).sum(axis=1), there.sum(axis=1), empty=np.nan)


def _weighted_f1(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 of the categories, each by how often it is true, of each row."""
    tp, missed, wrong = table[:, 0::3], table[:, 1::3], table[:, 2::3]
    f1 = ratio(2 * tp, 2 * tp + missed + wrong, empty=0.0)
    often = tp + missed
    return ratio((f1 * often).sum(axis=1), often.sum(axis=1), empty=np.nan)


def _by_image(
    values: Sequence[tuple[str, float]], images: Mapping[str, int]
) -> NDArray[np.float64]:
    """Sums and counts by image, shape (images, 2)."""
    table = np.zeros((len(images), 2))
    for image, value in values:
        table[images[image]] += (value, 1)
    return table


def _mean(table: NDArray[np.float64], drawings: Drawings | None) -> Figure:
    """Of sums and counts by image, shape (images, 2)."""
    total, count = table.sum(axis=0)
    interval = None
    if drawings is not None:
        sums, counts = drawings.sums(table).T
        interval = interval_of(ratio(sums, counts, empty=np.nan))
    return Figure(float(total / count), interval, int(count))
