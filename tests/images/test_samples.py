from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nunext.core.errors import ImageError
from napari_nunext.images.samples import cmyk_to_rgb, on_white, to_8bit


@given(arrays(np.uint16, 20))
def test_scaling_keeps_order_and_range(samples: np.ndarray) -> None:
    shown = to_8bit(samples).astype(int)
    order = np.argsort(samples, kind="stable")
    assert (np.diff(shown[order]) >= 0).all()
    if samples.max() > 255:
        assert shown.max() >= 63  # at least a quarter of the range of the sensor


@given(st.sampled_from([255, 1023, 4095, 16_383, 65_535]))
def test_full_scale_of_a_sensor_is_white(full: int) -> None:
    assert to_8bit(np.array([full], dtype=np.uint16))[0] == 255


def test_constant_floats_do_not_divide_by_zero() -> None:
    np.testing.assert_array_equal(to_8bit(np.full(3, -7.0)), [0, 0, 0])


def test_values_without_order_are_refused() -> None:
    with pytest.raises(ImageError, match="complex128"):
        to_8bit(np.array([1j]))


@given(arrays(np.uint8, (1, 5, 3)), arrays(np.uint8, (1, 5)))
def test_blending_on_white_is_the_textbook_formula(rgb: np.ndarray, alpha: np.ndarray) -> None:
    a = alpha[..., None] / 255
    expected = rgb * a + 255 * (1 - a)
    assert np.abs(on_white(rgb, alpha) - expected).max() <= 0.5 + 1e-9


@given(arrays(np.uint8, (1, 5, 4)))
def test_more_ink_is_never_brighter(cmyk: np.ndarray) -> None:
    more = np.minimum(cmyk.astype(int) + 10, 255).astype(np.uint8)
    assert (cmyk_to_rgb(more) <= cmyk_to_rgb(cmyk)).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int64", "float32", "float64"])
def test_the_same_pixels_look_the_same_in_whatever_type_they_are_written(
    dtype: str, rng: np.random.Generator
) -> None:
    pixels = rng.integers(120, 248, size=(20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_8bit(pixels.astype(dtype)), pixels)
    np.testing.assert_array_equal(to_8bit(pixels[:5].astype(dtype)), pixels[:5])


def test_floats_that_overshoot_their_scale_are_clipped() -> None:
    normalised = np.array([-1.5, 0.0, 128.0, 255.0, 257.0], dtype=np.float32)
    np.testing.assert_array_equal(to_8bit(normalised), [0, 0, 128, 255, 255])


def test_large_images_are_converted_block_by_block_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    whole = to_8bit(samples)
    monkeypatch.setattr("napari_nunext.images.samples._BLOCK_SAMPLES", 100)
    np.testing.assert_array_equal(to_8bit(samples), whole)
