from __future__ import annotations

import numpy as np
import pytest

from nunext_training.data.scanner import Scanner, random_scanner

SAME = Scanner(mixing=np.eye(3), lamp=np.ones(3))


def test_the_scanner_of_the_data_changes_nothing(rng):
    rgb = rng.integers(1, 256, size=(20, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(SAME(rgb), rgb)
    np.testing.assert_array_equal(random_scanner(rng, 0.0)(rgb), rgb)


def test_a_darker_lamp_darkens_glass_and_tissue_by_the_same_factor():
    rgb = np.array([[[255, 255, 255], [200, 100, 60]]], dtype=np.uint8)
    seen = Scanner(np.eye(3), np.array([0.5, 0.8, 1.0]))(rgb)
    np.testing.assert_array_equal(seen, [[[128, 204, 255], [100, 80, 60]]])


def test_mixing_adds_optical_density_and_leaves_glass_white():
    mixing = np.eye(3)
    mixing[0, 2] = 0.5  # what absorbs red now absorbs blue half as much
    rgb = np.array([[[255, 255, 255], [64, 255, 255]]], dtype=np.uint8)
    seen = Scanner(mixing, np.ones(3))(rgb)
    np.testing.assert_array_equal(seen[0, 0], [255, 255, 255])
    np.testing.assert_allclose(seen[0, 1], [64, 255, 255 * np.sqrt(64 / 255)], atol=1)


@pytest.mark.parametrize(("sharpening", "contrast"), [(0.0, "falls"), (1.0, "rises")])
def test_an_edge_loses_contrast_out_of_focus_and_gains_it_by_sharpening(sharpening, contrast):
    rgb = np.full((16, 16, 3), 180, dtype=np.uint8)
    rgb[:, 8:] = 90
    seen = Scanner(np.eye(3), np.ones(3), blur_px=1.0, sharpening=sharpening)(rgb)
    across = int(seen[8, 7, 0]) - int(seen[8, 8, 0])
    assert across < 90 if contrast == "falls" else across > 90
    np.testing.assert_array_equal(seen[:, :3], 180)  # nothing moves far from the edge


def test_noise_is_the_same_again_and_as_strong_as_it_says():
    rgb = np.full((64, 64, 3), 128, dtype=np.uint8)
    scanner = Scanner(np.eye(3), np.ones(3), noise=4.0, noise_seed=5)
    seen = scanner(rgb)
    np.testing.assert_array_equal(seen, scanner(rgb))
    assert 3.8 < (seen.astype(float) - 128).std() < 4.2


def test_scanners_are_drawn_within_the_strength(rng):
    drawn = [random_scanner(rng, 0.3) for _ in range(400)]
    mixing = np.array([s.mixing for s in drawn]) - np.eye(3)
    assert 0.09 < np.abs(mixing).max() <= 0.1
    lamp = np.array([s.lamp for s in drawn])
    assert np.exp(-0.3) <= lamp.min() < 0.8
    assert lamp.max() <= 1
    out_of_focus = [s for s in drawn if s.blur_px > 0 and s.sharpening == 0]
    sharpened = [s for s in drawn if s.sharpening > 0]
    assert 0.42 < len(out_of_focus) / len(drawn) < 0.58
    assert 0.18 < len(sharpened) / len(drawn) < 0.32
    assert max(s.blur_px for s in out_of_focus) <= 1
    assert max(s.noise for s in drawn) <= 4
