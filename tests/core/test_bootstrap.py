from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from napari_nunext.core.bootstrap import Drawings, Interval, interval_of, ratio


def pooled_f1(tp, fp, fn, axis=-1):
    tp, fp, fn = (np.sum(v, axis=axis) for v in (tp, fp, fn))
    return 2 * tp / (2 * tp + fp + fn)


def test_intervals_are_close_to_scipys_percentiles(rng):
    counts = rng.integers(1, 60, (25, 3))
    tp, fp, fn = Drawings(25).sums(counts).T
    ours = interval_of(ratio(2 * tp, 2 * tp + fp + fn, empty=1.0))
    theirs = bootstrap(
        tuple(counts.T),
        pooled_f1,
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_a_drawing_has_as_many_images_as_there_are_and_its_own_sums():
    drawings = Drawings(4, resamples=50, seed=3)
    times = drawings.sums(np.eye(4, dtype=np.int64))
    assert (times.sum(axis=1) == 4).all()
    assert len(np.unique(times, axis=0)) > 10
    values = np.array([1.0, 10.0, 100.0, 1000.0])
    assert drawings.sums(values).tolist() == (times @ values).tolist()
    assert Drawings(4, resamples=50, seed=3).sums(values).tolist() == (times @ values).tolist()


def test_a_figure_that_no_drawing_has_has_no_interval():
    assert interval_of(np.array([np.nan, np.nan])) is None
    assert interval_of(np.array([np.nan, 0.25, 0.25])) == Interval(0.25, 0.25)


def test_nothing_against_nothing_is_what_is_asked_for():
    assert ratio(np.array([0, 1]), np.array([0, 4]), empty=1.0).tolist() == [1.0, 0.25]
