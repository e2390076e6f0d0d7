"""Samples of any depth and colour model as 8-bit RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FULL_SCALES = (255, 1023, 4095, 16_383, 65_535, 2**32 - 1)
"""Largest values of the sensors behind integer images: 8, 10, 12, 14, 16 and 32 bits."""


_OVERSHOOT = 0.02
"""How far, as a part of the full scale, floats may lie beyond it: resampling and stain normalisers
overshoot. They are clipped."""
_BLOCK_SAMPLES = 1 << 20
"""Converted at once, so that an image needs little memory beside its own."""


def to_8bit(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples of any type as bytes, shape kept.

    - bool: 0 and 255;
    - integers and floats from 0 up: linear from 0 to the smallest full scale (floats: 1; and 8, 10,
      12, 14, 16 or 32 bits) that holds the largest value, so that 12-bit data in a 16-bit file is
      not shown black, and the same pixels look the same in whatever type they are written;
    - with negative values: linear from the smallest to the largest value.

    Raises
    ------
    ImageError
        If a value is NaN or infinite, or the type has no order (complex).
    """
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == bool:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.kind not in "uif":
        raise ImageError(f"The image holds {samples.dtype} values; expected integers or floats.")
    if samples.size == 0:
        return samples.astype(np.uint8)
    low, high = float(samples.min()), float(samples.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("The image holds NaN or infinite values. Export it as 8-bit RGB.")
    return _stretched(samples, *_full_scale(low, high, is_float=samples.dtype.kind == "f"))


def _full_scale(low: float, high: float, *, is_float: bool) -> tuple[float, float]:
    """What becomes 0 and 255, for samples between `low` and `high`."""
    beyond = _OVERSHOOT if is_float else 0.0
    if low >= -beyond * high:
        for scale in (1, *_FULL_SCALES) if is_float else _FULL_SCALES:
            if high <= scale * (1 + beyond):
                return 0.0, float(scale)
    return low, high


def _stretched(samples: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    flat = samples.reshape(-1)
    out = np.empty(flat.shape, np.uint8)
    factor = 255 / ((high - low) or 1.0)
    for start in range(0, len(flat), _BLOCK_SAMPLES):
        block = slice(start, start + _BLOCK_SAMPLES)
        scaled = (flat[block].astype(np.float32) - np.float32(low)) * np.float32(factor)
        out[block] = np.clip(np.rint(scaled), 0, 255)
    return out.reshape(samples.shape)


def rgb_of(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples of any type as 8-bit RGB, shape (H, W, 3).

    Parameters
    ----------
    samples : ndarray
        Shape (H, W), or (H, W, channels): 1 is grey, 2 grey with alpha, 3 RGB, 4 RGB with alpha.

    Raises
    ------
    ImageError
        As `to_8bit`.
    """
    shown = to_8bit(samples)
    if shown.ndim == 2:
        return grey_to_rgb(shown)
    colours, alpha = shown[..., :3], None
    if shown.shape[2] in (2, 4):
        colours, alpha = shown[..., :-1], shown[..., -1]
    rgb = grey_to_rgb(colours[..., 0]) if colours.shape[2] == 1 else colours
    return rgb if alpha is None else on_white(rgb, alpha)


def grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shape (H, W) to (H, W, 3)."""
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def on_white(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], *, premultiplied: bool = False
) -> NDArray[np.uint8]:
    """Lay transparent pixels on white: glass is what a slide has where there is nothing.

    Parameters
    ----------
    rgb, alpha : ndarray of uint8, shape (H, W, 3) and (H, W)
    premultiplied : bool
        Whether `rgb` is already multiplied by `alpha`.
    """
    out = np.empty(rgb.shape, np.uint8)
    for rows in _blocks_of_rows(rgb):
        opacity = alpha[rows, :, np.newaxis].astype(np.uint32)
        colour = rgb[rows].astype(np.uint32) * (255 if premultiplied else opacity)
        blended = (colour + 255 * (255 - opacity) + 127) // 255
        out[rows] = np.minimum(blended, 255)
    return out


def cmyk_to_rgb(cmyk: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inks (0 is none) to light without a colour profile, shape (H, W, 4) to (H, W, 3)."""
    out = np.empty((*cmyk.shape[:2], 3), np.uint8)
    for rows in _blocks_of_rows(cmyk):
        paper = 255 - cmyk[rows].astype(np.uint32)
        out[rows] = (paper[..., :3] * paper[..., 3:] + 127) // 255
    return out


def _blocks_of_rows(image: NDArray[Any]) -> Iterator[slice]:
    """Parts of an image (H, W, channels) that are converted at once."""
    step = max(_BLOCK_SAMPLES // max(image[0].size, 1), 1) if len(image) else 1
    return (slice(start, start + step) for start in range(0, len(image), step))
