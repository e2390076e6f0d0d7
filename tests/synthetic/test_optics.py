from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from napari_nunext.synthetic.fields import Grid
from napari_nunext.synthetic.optics import Look, _quantised, draw_look, expose

PLAIN = Look(
    stains_rgb=((0.6, 0.7, 0.3), (0.1, 0.9, 0.2), (0.1, 0.8, 0.5), (0.3, 0.6, 0.8)),
    amounts_od=(1.0, 0.5, 0.5, 0.5),
    white_rgb=(250.0, 240.0, 245.0),
    blur_um=0.2,
    noise=0.0,
    shading=0.0,
    jpeg_quality=None,
)
GRID = Grid(24, 40, 0.5)


def flat(*amounts):
    return tuple(np.full(GRID.shape, amount, dtype=np.float32) for amount in amounts)


def test_glass_is_white_and_densities_add_up(rng):
    assert (expose(rng, GRID, PLAIN, flat(0, 0, 0, 0)) == (250, 240, 245)).all()
    both = expose(rng, GRID, PLAIN, flat(0.5, 0.8, 0, 0))
    density = 0.5 * 1.0 * np.array([0.6, 0.7, 0.3]) + 0.8 * 0.5 * np.array([0.1, 0.9, 0.2])
    expected = np.array([250, 240, 245]) * 10**-density
    np.testing.assert_allclose(both[0, 0], expected, atol=0.51)


def test_without_variation_every_tile_has_the_same_stains():
    looks = [
        draw_look(np.random.default_rng(seed), variation=0.0, compressed=True) for seed in (0, 1)
    ]
    assert looks[0].stains_rgb == looks[1].stains_rgb
    assert looks[0].amounts_od == looks[1].amounts_od
    assert looks[0].white_rgb == looks[1].white_rgb
    varied = draw_look(np.random.default_rng(0), variation=1.0, compressed=False)
    assert varied.stains_rgb != looks[0].stains_rgb
    assert varied.jpeg_quality is None


@pytest.mark.parametrize("quality", [60, 90])
def test_quantisation_loses_what_jpeg_loses(quality, rng):
    smooth = np.stack([Grid(96, 136, 0.5).noise(rng, 2.0) for _ in range(3)], axis=-1)
    rgb = np.clip(160 + 35 * smooth, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=0)
    theirs = np.asarray(Image.open(file)).astype(float)
    ours = _quantised(rgb.astype(np.float32), quality)
    assert ours.shape == rgb.shape
    # Both round to the same steps; they differ by an offset of the blocks and the last rounding.
    assert np.std(ours - rgb) == pytest.approx(np.std(theirs - rgb), rel=0.15)
