"""Kinds of questions that nuclei answer by where and of which category they are.

The kinds, their options and what is drawn for them are those that `docs/ask.md` compares answerers
with. A kind that has no clear answer in a window, such as a tie, makes no question of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.answers.field import LEAST_IN_CLUSTER, LINK_UM, MARGIN_UM, chains_of
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box
from nunext_training.data.derived.window import DerivedQuestion

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from napari_nunext.core.geometry import PointsXY
    from nunext_training.data.derived.window import AnnotatedWindow, Known

    Maker: TypeAlias = Callable[[AnnotatedWindow, random.Random], "DerivedQuestion | None"]

QUADRANTS = ("upper left", "upper right", "lower left", "lower right")
DENSITIES = (
    "sparse (under 2,808 per mm2)",
    "moderate (2,808 to 4,761 per mm2)",
    "dense (over 4,761 per mm2)",
)
DENSE_FROM_MM2 = (11.5 / 0.064**2, 19.5 / 0.064**2)
"""Half-way between the counts 11 and 12, and 19 and 20, of a window of 64 um: no count is on it."""
LEAST = 4
"""Nuclei that a category has to dominate among."""
CLEAR_BY = 2
"""Nuclei that a quadrant has more than the next one."""


def asked(
    kind: str, text: str, answer: Known, options: tuple[str, ...] | list[str] = ()
) -> DerivedQuestion:
    """A question in words."""
    return DerivedQuestion(kind, Question("question", text, tuple(options)), answer)


def dominant(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion | None:
    """Which category has the most nuclei."""
    words = window.spoken.words
    answer = most_of(window, np.arange(len(window.kinds)))
    if answer is None:
        return None
    options = rng.sample(words, len(words))
    return asked("dominant", "Which category dominates?", words[answer], options)


def most_of(window: AnnotatedWindow, indices: np.ndarray) -> int | None:
    """The category that most of these nuclei have; None for few nuclei, or a tie."""
    kinds = window.kinds[indices]
    n = np.sort(counts := np.bincount(kinds[kinds >= 0], minlength=len(window.spoken.names)))
    if len(n) < 2 or n.sum() < LEAST or n[-1] == n[-2]:
        return None
    return int(counts.argmax())


def density(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion:
    """How many nuclei there are on a square millimetre."""
    per_mm2 = len(window.points_xy) / window.area_mm2
    answer = DENSITIES[sum(per_mm2 >= least for least in DENSE_FROM_MM2)]
    options = rng.sample(DENSITIES, len(DENSITIES))
    return asked("density", "How dense are the nuclei?", answer, options)


def present(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion:
    """Whether a category has so many nuclei."""
    plurals = window.spoken.plurals
    kind, least = rng.randrange(len(plurals)), rng.choice((1, 4, 8))
    answer = "yes" if len(window.of(kind)) >= least else "no"
    return asked("present", f"Are there at least {least} {plurals[kind]}?", answer)


def quadrant(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion | None:
    """In which quarter of the window most nuclei of a category are."""
    plurals = window.spoken.plurals
    kind = rng.randrange(len(plurals))
    where = quadrant_of(window.of(kind), window.region)
    if where is None:
        return None
    return asked("quadrant", f"Where are most {plurals[kind]}?", where, QUADRANTS)


def quadrant_of(points_xy: PointsXY, region: Box) -> str | None:
    """The quarter that holds clearly most of these points; None where none does."""
    middle = (region.x0 + region.width / 2, region.y0 + region.height / 2)
    right, lower = (points_xy >= middle).T
    n = np.bincount(2 * lower + right, minlength=4)
    ordered = np.sort(n)
    return QUADRANTS[int(n.argmax())] if ordered[-1] >= ordered[-2] + CLEAR_BY else None


def count(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion:
    """How many nuclei a category has."""
    plurals = window.spoken.plurals
    kind = rng.randrange(len(plurals))
    return asked("count", f"How many {plurals[kind]} are there?", len(window.of(kind)))


def boxes(window: AnnotatedWindow, rng: random.Random) -> DerivedQuestion:
    """Around each cluster of a category."""
    plurals = window.spoken.plurals
    found = [
        clusters_of(window.of(kind), window.region, window.mpp) for kind in range(len(plurals))
    ]
    there = [kind for kind, each in enumerate(found) if each]
    # Without this, most windows would have none to find.
    kind = rng.choice(there) if there and rng.random() < 0.8 else rng.randrange(len(plurals))
    question = Question("lesions", f"clusters of {plurals[kind]}", organ=window.organ)
    return DerivedQuestion("boxes", question, found[kind])


def clusters_of(points_xy: PointsXY, region: Box, mpp: float) -> tuple[Box, ...]:
    """Boxes around chains of nuclei that are near each other, from top to bottom."""
    around = []
    for chain in chains_of(points_xy, LINK_UM / mpp):
        if len(chain) >= LEAST_IN_CLUSTER:
            low, high = points_xy[chain].min(axis=0), points_xy[chain].max(axis=0)
            box = Box(*low.tolist(), *high.tolist())
            around.append(box.grown(MARGIN_UM / mpp).clipped_to(region))
    return tuple(sorted(around, key=lambda box: (box.y0, box.x0)))


MAKERS: Mapping[str, Maker] = {
    "dominant": dominant,
    "density": density,
    "present": present,
    "quadrant": quadrant,
    "count": count,
    "boxes": boxes,
}
"""By kind, in the order in which they draw."""
