from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.synthetic.fields import Grain, Grid, ramp


@pytest.mark.parametrize("scale_um", [0.5, 2.0, 12.0])
def test_noise_has_mean_zero_and_variance_one_at_every_scale(scale_um, rng):
    side_px = 400
    fields = [Grid(side_px, side_px, 0.5).noise(rng, scale_um) for _ in range(4)]
    independent = (side_px * 0.5 / (3.5 * scale_um)) ** 2 * len(fields)
    assert abs(np.mean(fields)) < 4 / np.sqrt(independent)
    assert np.var(fields) == pytest.approx(1, abs=6 / np.sqrt(independent))
    assert fields[0].dtype == np.float32


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_noise_is_as_smooth_as_its_scale_in_micrometres(mpp, rng):
    scale_um = 4.0
    field = Grid(600, 600, mpp).noise(rng, scale_um)
    shift = round(scale_um / mpp)
    correlation = np.mean(field[:, shift:] * field[:, :-shift]) / np.var(field)
    # White noise through a Gaussian: exp(-(d / 2 sigma)^2)
    assert correlation == pytest.approx(np.exp(-0.25), abs=0.05)


def test_detail_finer_than_a_pixel_fades(rng):
    coarse = Grid(200, 200, 2.0).noise(rng, 0.5)
    assert np.std(coarse) < 0.5


def test_stretched_grain_is_longer_than_wide(rng):
    across_um, along_um = np.mgrid[:200, :200].astype(np.float32) * 0.5
    field = Grain(rng).look_up(along_um, across_um, 20.0, 2.0)
    wide = np.mean(field[10:] * field[:-10])
    long = np.mean(field[:, 10:] * field[:, :-10])
    assert long > wide + 0.4


def test_a_ramp_goes_from_none_to_all():
    values = np.array([-5, 1, 2, 3, 9], dtype=np.float32)
    np.testing.assert_allclose(ramp(values, 1.0, 3.0), [0, 0, 0.5, 1, 1])
