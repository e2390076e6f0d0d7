"""The benchmark's questions: Counts answers all of them from the nuclei they were made of."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from benchmarks._held_out import NAMES, SIDE_PX, questions_of, score
from napari_nunext.core.answers.counts import CountsAnswer, answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus

TILE = Box.of_image(500, 500)


@pytest.fixture
def tiles(rng):
    """Places on whole pixels, as annotators give them: some are exactly 10 um apart."""
    return [
        (TILE, rng.integers(0, 500, (300, 2)) + 0.5, rng.choice(NAMES, 300, p=[0.5, 0.3, 0.2]))
        for _ in range(4)
    ]


def answered(tiles):
    for number, region, asked in questions_of(tiles):
        _, points_xy, kinds = tiles[number]
        nuclei = [
            Nucleus(UUID(int=i), x, y, str(kind))
            for i, ((x, y), kind) in enumerate(zip(points_xy.tolist(), kinds, strict=True))
        ]
        field = NucleusField.of(nuclei, region, 0.5, NAMES)
        yield asked, answer_from_counts(asked.question, field)


def test_counts_answers_every_question_from_true_nuclei(tiles):
    kinds = Counter()
    for asked, said in answered(tiles):
        # Boxes come in another order, and all are right.
        assert score(asked, said) == pytest.approx(1.0), (asked, said.answer)
        kinds[asked.kind] += 1
    assert set(kinds) == {"dominant", "density", "present", "quadrant", "count", "boxes"}
    assert min(kinds.values()) > 5


def test_questions_are_the_same_each_time_and_lie_in_the_tile(tiles):
    asked = list(questions_of(tiles))
    assert asked == list(questions_of(tiles))
    assert asked != list(questions_of(tiles, seed=1))
    for _, region, _ in asked:
        assert region.clipped_to(TILE) == region
        assert region.width == pytest.approx(SIDE_PX)


def test_what_is_declined_or_wrong_has_no_score_and_numbers_lose_their_error(tiles):
    asked = {each.kind: each for _, _, each in questions_of(tiles)}
    assert score(asked["present"], CountsAnswer("yes", "", answered=False)) == 0
    assert score(asked["dominant"], CountsAnswer("necrosis", "")) == 0
    true = asked["count"].answer
    assert score(asked["count"], CountsAnswer(str(true + 1), "")) == 1 - 1 / max(4, true)
    assert score(asked["count"], CountsAnswer(str(true + 1000), "")) == 0
