"""The questions that `docs/ask.md` compares answerers with, and what an answer to one is worth.

Windows are 128 px (64 um) wide, on a grid of 4 x 4 over each tile. All is drawn from one seed, tile
after tile, as it was for those answerers: they are the same 829 on the ten validation tiles of
BRCA-M2C. What makes them is `nunext_training.data.derived`.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box
from napari_nunext.core.scores.boxes import average_precision
from nunext_training.data.derived.points import MAKERS
from nunext_training.data.derived.window import AnnotatedWindow, Spoken
from nunext_training.method.answer_rewards import closeness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_nunext.core.answers.counts import CountsAnswer
    from napari_nunext.core.geometry import PointsXY
    from nunext_training.data.derived.window import DerivedQuestion

SIDE_PX = 128
PER_SIDE = 4
SEED = 7
MPP = 0.5

NAMES = ("Lymphocyte", "Tumour or epithelial", "Stromal")
"""As the nuclei are called."""


def questions_of(
    tiles: Sequence[tuple[Box, PointsXY, Sequence[str]]], seed: int = SEED
) -> Iterator[tuple[int, Box, DerivedQuestion]]:
    """Every question, with the number of its tile and the region of it that it is about.

    Parameters
    ----------
    tiles : sequence
        Of each its box, its true points and their categories, of `NAMES`.
    seed : int
    """
    rng, spoken = random.Random(seed), Spoken.of(NAMES)
    for number, (tile, points_xy, categories) in enumerate(tiles):
        for row in range(PER_SIDE):
            for column in range(PER_SIDE):
                x0 = (tile.width - SIDE_PX) * column / (PER_SIDE - 1)
                y0 = (tile.height - SIDE_PX) * row / (PER_SIDE - 1)
                region = Box(x0, y0, x0 + SIDE_PX, y0 + SIDE_PX)
                window = AnnotatedWindow.cut(region, points_xy, categories, spoken, MPP)
                for make in MAKERS.values():
                    if (made := make(window, rng)) is not None:
                        yield number, region, _in_words(made)


def _in_words(made: DerivedQuestion) -> DerivedQuestion:
    """Boxes are asked for in words here."""
    if made.question.task != "lesions":
        return made
    return replace(made, question=Question("question", f"Where are {made.question.text}?"))


def score(made: DerivedQuestion, said: CountsAnswer) -> float:
    """From 0 to 1; 0 for a question that is declined.

    Words are right or wrong, a number is worth how close it is, and boxes have their average
    precision at an IoU of 0.5, in the order written.
    """
    if not said.answered:
        return 0.0
    if isinstance(made.answer, str):
        return float(said.answer == made.answer)
    if isinstance(made.answer, int):
        return closeness(int(said.answer), made.answer)
    return average_precision([found.box for found in said.boxes], made.answer)
