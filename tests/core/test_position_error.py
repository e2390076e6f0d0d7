"""How far off points may be, and how far what a model says of it is from that."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.scores.position_error import (
    AS_SPREAD,
    PositionCalibration,
    fit_positions,
    position_calibration_error,
)


def said(rng, count, exponent, shift):
    """Spreads of places, and distances of which the true curve is known."""
    spread = rng.uniform(1.0, 4.0, count)
    per_axis = np.sqrt(np.exp(shift) * spread**exponent / 2)
    return spread, np.hypot(*(rng.normal(size=(2, count)) * per_axis))


@pytest.mark.parametrize(("exponent", "shift"), [(1.0, 0.0), (2.4, -1.5), (0.5, 0.7)])
def test_the_curve_that_made_the_distances_is_found(rng, exponent, shift):
    found = fit_positions(*said(rng, 40_000, exponent, shift))
    assert found.exponent == pytest.approx(exponent, abs=0.1)
    assert found.shift == pytest.approx(shift, abs=0.1)
    assert found.points == 40_000
    spread, distance = said(rng, 40_000, exponent, shift)
    assert position_calibration_error(found.of(spread), distance) < 0.03


def test_the_mean_square_of_what_it_was_fitted_to_is_kept(rng):
    spread, distance = said(rng, 500, 2.0, -1.0)
    served = fit_positions(spread, distance).of(spread)
    # The score equation of the shift.
    assert np.mean(distance**2 / served**2) == pytest.approx(1, abs=1e-4)


def test_order_is_kept_and_what_is_said_is_a_length():
    served = PositionCalibration(2.4, -1.5).of([0.0, 1e-9, 1.0, 1.1, 3.0])
    assert (np.diff(served) >= 0).all()
    assert (np.diff(served[2:]) > 0).all()
    assert (served > 0).all()
    assert PositionCalibration(2.4, -1.5).of([]).shape == (0,)
    assert AS_SPREAD(2.25) == pytest.approx(1.5)


def test_the_error_is_the_mean_over_ten_groups():
    said_um = np.repeat(np.arange(1.0, 11.0), 3)
    real_um = said_um + np.repeat(np.arange(10) * 0.1, 3)
    shuffled = np.random.default_rng(0).permutation(30)
    expected = np.mean(np.arange(10) * 0.1)
    assert position_calibration_error(said_um[shuffled], real_um[shuffled]) == pytest.approx(
        expected
    )
    assert position_calibration_error([1.0, 1.0], [3.0, 4.0]) == pytest.approx(2.5)
    assert math.isnan(position_calibration_error([], []))


def test_too_few_points_and_spreads_that_say_nothing_are_refused(rng):
    spread, distance = said(rng, 99, 1.0, 0.0)
    with pytest.raises(InputError, match="expected at least 100"):
        fit_positions(spread, distance)
    spread, distance = said(rng, 2_000, 2.0, 0.0)
    with pytest.raises(InputError, match="lie no further off"):
        fit_positions(1 / spread, distance)


def test_a_curve_travels_as_json_and_one_that_turns_the_order_is_refused():
    curve = PositionCalibration(2.37, -1.53, 3626)
    assert PositionCalibration.from_json(json.loads(json.dumps(curve.to_json()))) == curve
    assert PositionCalibration.from_json(None) is None
    for exponent, shift in ((0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)):
        with pytest.raises(CheckpointError, match="expected an exponent over 0"):
            PositionCalibration(exponent, shift)
