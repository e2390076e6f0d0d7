from __future__ import annotations

import numpy as np

from napari_nunext.core.shapes.masks import Mask
from napari_nunext.ui.canvas.rims import rims_of

HEIGHT_PX, WIDTH_PX = 60, 62


def test_rims_of_many_masks_are_what_each_has_pixel_by_pixel(rng: np.random.Generator) -> None:
    masks = []
    for _ in range(300):
        pixels = rng.random(rng.integers(1, 12, 2)) < rng.random()
        masks.append(Mask.from_array(pixels, *(int(v) for v in rng.integers(-5, 60, 2))))
    for mask, rim in zip(masks, rims_of(masks, HEIGHT_PX, WIDTH_PX), strict=True):
        at = {(mask.y0_px + r, mask.x0_px + c) for r, c in np.argwhere(mask.to_array()).tolist()}
        expected = {
            y * WIDTH_PX + x
            for y, x in at
            if {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} - at
            and 0 <= y < HEIGHT_PX
            and 0 <= x < WIDTH_PX
        }
        assert sorted(rim.tolist()) == sorted(expected)


def test_no_masks_have_no_rims() -> None:
    assert rims_of([], HEIGHT_PX, WIDTH_PX) == []
