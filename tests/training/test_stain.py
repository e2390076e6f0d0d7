from __future__ import annotations

import numpy as np

from nunext_training.data.stain import STAINS, random_factors, scale_stains


def test_factors_of_one_change_nothing(rng):
    rgb = rng.integers(1, 256, size=(20, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(scale_stains(rgb, np.ones(3)), rgb)


def test_glass_stays_white():
    white = np.full((4, 4, 3), 255, dtype=np.uint8)
    np.testing.assert_array_equal(scale_stains(white, np.array([3.0, 0.3, 2.0])), white)


def test_twice_the_haematoxylin_is_twice_its_optical_density():
    def pixel(amount):
        return np.rint(255 * np.exp(-amount * STAINS[0]))

    once = pixel(0.7).astype(np.uint8).reshape(1, 1, 3)
    twice = scale_stains(once, np.array([2.0, 1.0, 1.0]))
    np.testing.assert_allclose(twice.reshape(3), pixel(1.4), atol=2)


def test_factors_are_drawn_within_the_strength(rng):
    factors = np.array([random_factors(rng, 0.2) for _ in range(500)])
    assert factors.shape == (500, 3)
    assert factors.min() >= np.exp(-0.2)
    assert factors.max() <= np.exp(0.2)
    assert np.log(factors).mean() == np.clip(np.log(factors).mean(), -0.02, 0.02)
