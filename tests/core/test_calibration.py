"""Confidences that are shares, and how far those of a model are from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.scores.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
)


def said(rng, count, slope, shift):
    """Confidences of a model, and what was right, of which the true curve is known."""
    confidence = rng.uniform(0.05, 0.95, count)
    odds = np.log(confidence / (1 - confidence))
    share = 1 / (1 + np.exp(-(slope * odds + shift)))
    return confidence, rng.random(count) < share


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, 1.2), (2.0, -0.5)])
def test_the_curve_that_made_the_points_is_found(rng, slope, shift):
    confidence, right = said(rng, 20_000, slope, shift)
    found = fit_calibration(confidence, right)
    assert found.slope == pytest.approx(slope, abs=0.1)
    assert found.shift == pytest.approx(shift, abs=0.1)
    assert found.points == 20_000
    other, right = said(rng, 20_000, slope, shift)
    assert expected_calibration_error(found.of(other), right) < 0.02


def test_order_is_kept_and_nothing_leaves_zero_to_one():
    curve = Calibration(0.9, 1.3)
    confidence = np.array([0.0, 1e-9, 0.2, 0.5, 0.500001, 0.9, 1.0])
    served = curve.of(confidence)
    assert (np.diff(served) >= 0).all()
    assert (np.diff(served[2:]) > 0).all()
    assert ((served > 0) & (served < 1)).all()
    assert curve.of([]).shape == (0,)


def test_no_change_is_no_change():
    for value in (0.001, 0.3, 0.999):
        assert Calibration(1.0, 0.0)(value) == pytest.approx(value)


def test_the_error_is_the_distance_of_each_bin():
    # Two bins' worth of points: one says 0.2 and half are right, one says 0.9 and all are.
    confidence = np.repeat([0.2, 0.9], 15)
    right = np.concatenate([np.arange(15) % 2 == 0, np.ones(15, dtype=bool)])
    by_hand = sum(abs(c - r) for c, r in zip(confidence, right.astype(float), strict=True))
    # Bins of two points each, of one confidence but for the middle one.
    parts = np.array_split(np.arange(30), 15)
    expected = sum(len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts) / 30
    assert expected_calibration_error(confidence, right) == pytest.approx(expected)
    assert expected <= by_hand / 30
    shuffled = np.random.default_rng(0).permutation(30)
    certain = expected_calibration_error(np.ones(30)[shuffled], np.ones(30))
    assert certain == 0
    assert expected_calibration_error(np.full(40, 0.7), np.zeros(40)) == pytest.approx(0.7)
    assert math.isnan(expected_calibration_error([], []))


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (np.ones(200, dtype=bool), "200 right and 0 wrong points"),
        (np.zeros(200, dtype=bool), "0 right and 200 wrong points"),
        (np.arange(20) % 2 == 0, "expected at least 100 points"),
        (np.arange(200) < 100, "Surer points are not oftener right"),
    ],
)
def test_points_that_say_nothing_are_refused(right, words):
    confidence = np.linspace(0.01, 0.99, len(right))
    with pytest.raises(InputError, match=words):
        fit_calibration(confidence, right)


@pytest.mark.parametrize(
    ("slope", "shift"), [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0), (1, math.inf)]
)
def test_a_curve_that_turns_the_order_is_refused(slope, shift):
    with pytest.raises(CheckpointError, match="expected a slope over 0"):
        Calibration(slope, shift)


def test_it_is_written_and_read():
    curve = Calibration(0.9, 1.3, 4000)
    assert Calibration.from_json(curve.to_json()) == curve
    assert Calibration.from_json(None) is None
