"""Agreement of readers: the textbook's figures, a search over all pairs, and too little of it."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.agreement import (
    Agreement,
    choice_agreement,
    krippendorff_alpha,
    rating_agreement,
)
from napari_nunext.core.answers.enough import FEWEST, NotEnough
from napari_nunext.core.bootstrap import Interval
from napari_nunext.core.errors import InputError

_ = None
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
"""Krippendorff (2011), example C: four observers, twelve units, values missing."""

UNITS = st.lists(st.lists(st.integers(1, 5), max_size=5), max_size=12)


def units_of(observers):
    return [[value for value in unit if value is not None] for unit in zip(*observers, strict=True)]


def brute_alpha(units, scale):
    """By the definition: mean distance within units over that of any two of all values."""
    units = [unit for unit in units if len(unit) > 1]
    every = [value for unit in units for value in unit]

    def apart(c, k):
        if scale == "nominal":
            return float(c != k)
        low, high = sorted((c, k))
        between = sum(low <= value <= high for value in every)
        return (between - (every.count(c) + every.count(k)) / 2) ** 2

    observed = sum(
        sum(apart(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(every)
    pairs = [apart(a, b) for a, b in permutations(every, 2)]
    return 1 - observed / (sum(pairs) / len(pairs))


def readers(*columns):
    return {
        f"reader {i}": {f"answer {j}": value for j, value in enumerate(column)}
        for i, column in enumerate(columns)
    }


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorffs_own_example(scale, alpha):
    assert krippendorff_alpha(units_of(OBSERVERS), scale) == pytest.approx(alpha, abs=5e-4)


def test_two_observers_and_two_values():
    """Krippendorff (2011), example A."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    alpha = krippendorff_alpha([*zip(first, second, strict=True)], "nominal")
    assert alpha == pytest.approx(0.095, abs=5e-4)


def test_two_observers_and_five_values():
    """Krippendorff (2011), example B."""
    alpha = krippendorff_alpha([*zip("aabbdcccedda", "babbbccceddd", strict=True)], "nominal")
    assert alpha == pytest.approx(0.692, abs=5e-4)


@given(UNITS, st.sampled_from(["nominal", "ordinal"]))
def test_alpha_is_that_of_a_search_over_all_pairs(units, scale):
    if len({value for unit in units if len(unit) > 1 for value in unit}) < 2:
        assert math.isnan(krippendorff_alpha(units, scale))
    else:
        assert krippendorff_alpha(units, scale) == pytest.approx(brute_alpha(units, scale))


@given(UNITS, st.randoms(use_true_random=False))
def test_neither_the_order_of_readers_nor_of_answers_matters(units, shuffling):
    shuffled = [shuffling.sample(unit, len(unit)) for unit in units]
    shuffling.shuffle(shuffled)
    for scale in ("nominal", "ordinal"):
        assert krippendorff_alpha(shuffled, scale) == pytest.approx(
            krippendorff_alpha(units, scale), nan_ok=True
        )


@given(UNITS)
def test_names_of_choices_and_the_direction_of_stars_do_not_matter(units):
    turned = [[6 - value for value in unit] for unit in units]
    for scale in ("nominal", "ordinal"):
        assert krippendorff_alpha(turned, scale) == pytest.approx(
            krippendorff_alpha(units, scale), nan_ok=True
        )
    named = [["abcdefg"[value * 3 % 7] for value in unit] for unit in units]
    assert krippendorff_alpha(named, "nominal") == pytest.approx(
        krippendorff_alpha(units, "nominal"), nan_ok=True
    )


def test_readers_who_say_the_same_agree_in_full():
    stars = [1 + i % 5 for i in range(FEWEST)]
    said = rating_agreement(readers(stars, stars))
    assert said == Agreement(1.0, Interval(1.0, 1.0), FEWEST, 2, "ordinal")
    assert "2 readers agree well in their ratings of 20 answers (alpha 1.00" in said.in_words


@pytest.mark.parametrize(
    ("swapped", "words"),
    [
        (0, "agree well"),
        (6, "agree enough for tentative conclusions"),
        (14, "agree too little to rely on"),
        (40, "agree no better than by chance"),
    ],
)
def test_the_sentence_says_how_far(swapped, words):
    one = ["tumour", "stroma"] * 20
    other = [("stroma" if c == "tumour" else "tumour") if i < swapped else c
             for i, c in enumerate(one)]  # fmt: skip
    said = choice_agreement(readers(one, other))
    assert words in said.in_words
    assert "their choices of 40 answers" in said.in_words


def test_the_interval_holds_alpha_and_narrows_with_answers(rng):
    stars = rng.integers(1, 6, 400)
    other = np.where(rng.random(400) < 0.7, stars, rng.integers(1, 6, 400))
    few = rating_agreement(readers(stars[:40].tolist(), other[:40].tolist()))
    many = rating_agreement(readers(stars.tolist(), other.tolist()))
    for said in (few, many):
        assert said.interval.low < said.alpha < said.interval.high
    assert many.interval.high - many.interval.low < few.interval.high - few.interval.low
    assert many == rating_agreement(readers(stars.tolist(), other.tolist()))


def test_under_twenty_shared_answers_there_is_no_figure():
    stars = [1 + i % 5 for i in range(FEWEST)]
    said = rating_agreement(readers(stars, stars[:-1]))
    assert isinstance(said, NotEnough)
    assert said.in_words.startswith("Not enough yet: 19 of the 20 answers")


@pytest.mark.parametrize("judged", [{}, readers([1, 2] * 30), readers([1] * 30, [None] * 30)])
def test_without_a_second_reader_there_is_no_figure(judged):
    assert "0 of the 20 answers" in rating_agreement(judged).in_words
    assert "0 of the 20 answers" in choice_agreement(judged).in_words


def test_where_all_say_the_same_there_is_no_figure():
    said = rating_agreement(readers([4] * 30, [4] * 30))
    assert said.in_words.startswith("Not enough yet: all ratings are the same")


def test_what_was_taken_back_and_who_judged_alone_does_not_count():
    stars = [1 + i % 5 for i in range(30)]
    alone = {"reader 9": {"elsewhere": 3}}
    said = rating_agreement(readers(stars, stars, [None] * 30) | alone)
    assert (said.readers, said.answers) == (2, 30)


@pytest.mark.parametrize("rating", [math.nan, math.inf])
def test_a_rating_that_is_no_number_is_refused(rating):
    with pytest.raises(InputError, match="finite number"):
        rating_agreement({"reader": {"answer": rating}})
