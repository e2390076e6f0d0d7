"""Questions about windows of annotated tiles, whose answers follow from the nuclei, and scores.

Windows are 128 px (64 um) wide, on a grid of 4 x 4 over each tile. The questions, their options and
their order are drawn as they were for the answerers that `docs/ask.md` compares with, from the same
seed: they are the same 829 on the ten validation tiles of BRCA-M2C. What is new is the sentence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_nunext.core.answers.counts import CountsAnswer
    from napari_nunext.core.geometry import PointsXY

Task: TypeAlias = Literal["dominant", "density", "present", "quadrant", "count", "boxes"]

SIDE_PX = 128
PER_SIDE = 4
SEED = 7

NAMES = ("Lymphocyte", "Tumour or epithelial", "Stromal")
"""As the nuclei are called."""
WORDS = ("lymphocyte", "tumour", "stromal")
"""As options say it."""
PLURALS = ("lymphocytes", "tumour nuclei", "stromal nuclei")
QUADRANTS = ("upper left", "upper right", "lower left", "lower right")
DENSITIES = (
    "sparse (under 2,808 per mm2)",
    "moderate (2,808 to 4,761 per mm2)",
    "dense (over 4,761 per mm2)",
)
"""Fewer than 12 nuclei, 12 to 19, and 20 or more in a window: the bounds lie half-way between."""
DENSE_FROM = (12, 20)
LINK_PX = 20.0
LEAST_IN_CLUSTER = 4
MARGIN_PX = 6.0


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A question about a window, and what is right."""

    task: Task
    question: Question
    region: Box
    answer: str | int | tuple[Box, ...]
    """A word, a number, or boxes, by task."""

    def score(self, said: CountsAnswer) -> float:
        """From 0 to 1; 0 for a question that is declined.

        Words are right or wrong, a number loses ``|d| / max(4, n)``, and boxes have their average
        precision at an IoU of 0.5, in the order written.
        """
        if not said.answered:
            return 0.0
        if isinstance(self.answer, str):
            return float(said.answer == self.answer)
        if isinstance(self.answer, int):
            return max(0.0, 1 - abs(int(said.answer) - self.answer) / max(4, self.answer))
        return average_precision([found.box for found in said.boxes], self.answer)


def questions_of(
    tiles: Sequence[tuple[Box, PointsXY, Sequence[str]]], seed: int = SEED
) -> Iterator[tuple[int, HeldOut]]:
    """Every question, with the number of its tile.

    Parameters
    ----------
    tiles : sequence
        Of each its box, its true points and their categories, of `NAMES`.
    seed : int
    """
    rng = random.Random(seed)
    for number, (tile, points_xy, categories) in enumerate(tiles):
        kinds = np.array([NAMES.index(name) for name in categories], dtype=int)
        for row in range(PER_SIDE):
            for column in range(PER_SIDE):
                x0 = (tile.width - SIDE_PX) * column / (PER_SIDE - 1)
                y0 = (tile.height - SIDE_PX) * row / (PER_SIDE - 1)
                region = Box(x0, y0, x0 + SIDE_PX, y0 + SIDE_PX)
                inside = region.contains(points_xy)
                window = _Window(region, points_xy[inside], kinds[inside])
                for make in _MAKERS:
                    if (made := make(window, rng)) is not None:
                        yield number, made


@dataclass(frozen=True, slots=True)
class _Window:
    region: Box
    points_xy: PointsXY
    kinds: np.ndarray

    def of(self, kind: int) -> PointsXY:
        return self.points_xy[self.kinds == kind]

    def asks(
        self,
        task: Task,
        text: str,
        answer: str | int | tuple[Box, ...],
        options: Sequence[str] = (),
    ) -> HeldOut:
        return HeldOut(task, Question("question", text, tuple(options)), self.region, answer)


def _dominant(window: _Window, rng: random.Random) -> HeldOut | None:
    n = np.bincount(window.kinds, minlength=3)
    if n.sum() < 4 or np.sort(n)[-1] == np.sort(n)[-2]:
        return None
    answer = WORDS[int(n.argmax())]
    return window.asks("dominant", "Which category dominates?", answer, rng.sample(WORDS, 3))


def _density(window: _Window, rng: random.Random) -> HeldOut:
    answer = DENSITIES[sum(len(window.kinds) >= least for least in DENSE_FROM)]
    return window.asks("density", "How dense are the nuclei?", answer, rng.sample(DENSITIES, 3))


def _present(window: _Window, rng: random.Random) -> HeldOut:
    kind, least = rng.randrange(3), rng.choice((1, 4, 8))
    answer = "yes" if len(window.of(kind)) >= least else "no"
    return window.asks("present", f"Are there at least {least} {PLURALS[kind]}?", answer)


def _quadrant(window: _Window, rng: random.Random) -> HeldOut | None:
    kind = rng.randrange(3)
    middle = (window.region.x0 + SIDE_PX / 2, window.region.y0 + SIDE_PX / 2)
    right, lower = (window.of(kind) >= middle).T
    n = np.bincount(2 * lower + right, minlength=4)
    if np.sort(n)[-1] < np.sort(n)[-2] + 2:
        return None
    answer = QUADRANTS[int(n.argmax())]
    return window.asks("quadrant", f"Where are most {PLURALS[kind]}?", answer, QUADRANTS)


def _count(window: _Window, rng: random.Random) -> HeldOut:
    kind = rng.randrange(3)
    n = len(window.of(kind))
    return window.asks("count", f"How many {PLURALS[kind]} are there?", n)


def _boxes(window: _Window, rng: random.Random) -> HeldOut:
    boxes = [clusters_of(window.of(kind), window.region) for kind in range(3)]
    there = [kind for kind in range(3) if boxes[kind]]
    # Without this, most windows would have none to find.
    kind = rng.choice(there) if there and rng.random() < 0.8 else rng.randrange(3)
    return window.asks("boxes", f"Where are clusters of {PLURALS[kind]}?", boxes[kind])


_MAKERS: tuple[Callable[[_Window, random.Random], HeldOut | None], ...] = (
    _dominant,
    _density,
    _present,
    _quadrant,
    _count,
    _boxes,
)
"""In the order in which they draw."""


def clusters_of(points_xy: PointsXY, region: Box) -> tuple[Box, ...]:
    """Boxes around chains of nuclei that are near each other, from top to bottom."""
    left, boxes = set(range(len(points_xy))), []
    while left:
        chain, todo = [], [left.pop()]
        while todo:
            at = todo.pop()
            chain.append(at)
            near = {i for i in left if np.hypot(*(points_xy[at] - points_xy[i])) < LINK_PX}
            left -= near
            todo += near
        if len(chain) >= LEAST_IN_CLUSTER:
            low, high = points_xy[chain].min(axis=0), points_xy[chain].max(axis=0)
            boxes.append(Box(*low.tolist(), *high.tolist()).grown(MARGIN_PX).clipped_to(region))
    return tuple(sorted(boxes, key=lambda box: (box.y0, box.x0)))


def average_precision(said: Sequence[Box], true: Sequence[Box], iou: float = 0.5) -> float:
    """Of boxes in the order written; 1 for none where there is none."""
    if not said or not true:
        return float(not said and not true)
    left, hits, total = list(true), 0, 0.0
    for rank, box in enumerate(said, start=1):
        best = max(left, key=lambda other: overlap(box, other), default=None)
        if best is not None and overlap(box, best) >= iou:
            left.remove(best)
            hits += 1
            total += hits / rank
    return total / len(true)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    both = max(0.0, width) * max(0.0, height)
    return both / (one.width * one.height + other.width * other.height - both)
