from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.remembered import RememberedWindows, new_windows
from napari_nunext.images.tile import image_from_pixels

if TYPE_CHECKING:
    from napari_nunext.images.tile import Tile


@pytest.fixture
def image(rng: np.random.Generator) -> Tile:
    rgb = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return image_from_pixels(pixels_sha256(rgb), 60, 40, rgb.copy)


def test_a_window_is_read_once_and_is_that_of_the_image(image: Tile) -> None:
    windows = new_windows(10_000)
    box = Box(3, 5, 35, 37)
    first = RememberedWindows(image, windows).read_window(box, 16)
    np.testing.assert_array_equal(first, image.read_window(box, 16))
    assert RememberedWindows(image, windows).read_window(box, 16) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0


def test_images_boxes_and_sizes_are_not_mistaken_for_each_other(
    image: Tile, rng: np.random.Generator
) -> None:
    windows = new_windows(10_000)
    rgb = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    other = image_from_pixels(pixels_sha256(rgb), 60, 40, rgb.copy)
    for which in (image, other):
        for box, side in [(Box(0, 0, 32, 32), 16), (Box(0, 0, 32, 32), 8), (Box(1, 0, 33, 32), 16)]:
            np.testing.assert_array_equal(
                RememberedWindows(which, windows).read_window(box, side),
                which.read_window(box, side),
            )
    assert len(windows) == 6
