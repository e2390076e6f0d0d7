from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.images import read_window


def image_with_disc(x: float, y: float, radius_px: float, side: int = 120) -> np.ndarray:
    """White image with a dark disc, antialiased by 8 x 8 samples a pixel."""
    fine = (np.arange(side * 8) + 0.5) / 8
    inside = np.hypot(fine[None, :] - x, fine[:, None] - y) <= radius_px
    cover = inside.reshape(side, 8, side, 8).mean(axis=(1, 3))
    grey = np.rint(255 - 200 * cover).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def dark_centre_xy(window: np.ndarray) -> np.ndarray:
    darkness = 255.0 - window[..., 0]
    return np.array(ndimage.center_of_mass(darkness))[::-1] + 0.5


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 1.37, 4.0])
@settings(max_examples=25)
@given(
    x=st.floats(45, 75),
    y=st.floats(45, 75),
    left=st.floats(0, 20),
    top=st.floats(0, 20),
)
def test_a_disc_lands_where_it_was_at_any_scale(
    ratio: float, x: float, y: float, left: float, top: float
) -> None:
    side = 100.0
    out_px = round(side / ratio)
    window = read_window(image_with_disc(x, y, 10), Box(left, top, left + side, top + side), out_px)
    found = dark_centre_xy(window) * (side / out_px) + (left, top)
    # Bicubic overshoot and rounding to bytes leave a few hundredths.
    assert np.abs(found - (x, y)).max() < 0.15


@given(
    x0=st.integers(-30, 60),
    y0=st.integers(-30, 60),
    side=st.integers(1, 50),
    seed=st.integers(0, 9),
)
def test_whole_pixels_of_the_same_size_are_copied_bit_for_bit(
    x0: int, y0: int, side: int, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, size=(37, 41, 3), dtype=np.uint8)
    window = read_window(rgb, Box(x0, y0, x0 + side, y0 + side), side)
    padded = np.pad(rgb, ((100, 100), (100, 100), (0, 0)), constant_values=255)
    expected = padded[y0 + 100 : y0 + 100 + side, x0 + 100 : x0 + 100 + side]
    np.testing.assert_array_equal(window, expected)


@given(
    x0=st.floats(-500, 500),
    y0=st.floats(-500, 500),
    side=st.floats(0.5, 300),
    out_px=st.integers(1, 64),
)
def test_any_box_gives_a_window_and_a_uniform_image_stays_uniform(
    x0: float, y0: float, side: float, out_px: int
) -> None:
    white = np.full((50, 60, 3), 255, dtype=np.uint8)
    window = read_window(white, Box(x0, y0, x0 + side, y0 + side), out_px)
    assert window.shape == (out_px, out_px, 3)
    assert (window == 255).all()


def test_outside_the_image_is_white() -> None:
    black = np.zeros((20, 20, 3), dtype=np.uint8)
    window = read_window(black, Box(10, 10, 50, 50), 20)
    assert (window[:4, :4] == 0).all()
    assert (window[6:, 6:] == 255).all()


def test_shrinking_averages_instead_of_picking() -> None:
    checks = np.zeros((64, 64, 3), dtype=np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    window = read_window(checks, Box(0, 0, 64, 64), 16)
    assert np.abs(window[4:-4, 4:-4].astype(int) - 128).max() <= 2


def test_neighbouring_windows_agree_at_their_seam(rng: np.random.Generator) -> None:
    rgb = rng.integers(0, 256, size=(100, 100, 3), dtype=np.uint8)
    whole = read_window(rgb, Box(10, 10, 90, 90), 40)
    corner = read_window(rgb, Box(10, 10, 50, 50), 20)
    assert np.abs(whole[:20, :20].astype(int) - corner).max() <= 1


def test_the_window_is_a_copy() -> None:
    rgb = np.zeros((8, 8, 3), dtype=np.uint8)
    read_window(rgb, Box(0, 0, 8, 8), 8)[:] = 255
    assert (rgb == 0).all()


@pytest.mark.parametrize(("box", "out_px"), [(Box(0, 0, 0, 5), 4), (Box(0, 0, 5, 5), 0)])
def test_empty_windows_are_refused(box: Box, out_px: int) -> None:
    with pytest.raises(InputError, match="larger than 0"):
        read_window(np.zeros((8, 8, 3), dtype=np.uint8), box, out_px)
