"""Random fields with a size in micrometres: the grain of everything that is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field: TypeAlias = NDArray[np.float32]
    """One value a pixel, shape (H, W)."""

_DENSE_UP_TO_PX = 6.0
"""Finer noise is filtered white noise; coarser noise is interpolated from few knots."""
_FINEST_PX = 0.7
"""Structure finer than this is washed out by the pixels."""
_TEXTURE_SIDE = 512
_TEXTURE_SIGMA = 1.5


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels that are drawn on."""

    height_px: int
    width_px: int
    mpp: float

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height_px, self.width_px

    @property
    def area_mm2(self) -> float:
        """What the pixels cover."""
        return self.height_px * self.width_px * self.mpp**2 * 1e-6

    def positions_um(self) -> tuple[Field, Field]:
        """Of pixel centres: x of shape (1, W) and y of shape (H, 1), um."""
        x = (np.arange(self.width_px, dtype=np.float32) + 0.5) * np.float32(self.mpp)
        y = (np.arange(self.height_px, dtype=np.float32) + 0.5) * np.float32(self.mpp)
        return x[np.newaxis, :], y[:, np.newaxis]

    def noise(self, rng: np.random.Generator, scale_um: float) -> Field:
        """Gaussian noise of mean 0, variance 1, smooth over `scale_um`.

        Where a pixel is coarser than the noise, the variance falls, as averaging would have it.
        """
        scale_px = scale_um / self.mpp
        if scale_px > _DENSE_UP_TO_PX:
            return _from_knots(rng, self.shape, scale_px)
        white = rng.standard_normal(self.shape, dtype=np.float32)
        sigma = max(scale_px, _FINEST_PX)
        smooth: Field = scipy.ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
        smooth *= np.float32(2 * math.sqrt(math.pi) * sigma * min(1.0, scale_px / _FINEST_PX))
        return smooth


def _from_knots(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Field:
    """Gaussian bumps of random height, one every `scale_px`; separable, hence two small products.

    Each row of weights has norm 1, so every pixel has variance 1.
    """
    rows, columns = (_bump_weights(n, scale_px) for n in shape)
    heights = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    field: Field = np.asarray(rows @ heights @ columns.T, dtype=np.float32)
    return field


def _bump_weights(pixels: int, scale_px: float) -> Field:
    knots = np.arange(-3, math.ceil(pixels / scale_px) + 4, dtype=np.float32) * scale_px
    apart = (np.arange(pixels, dtype=np.float32)[:, np.newaxis] + 0.5 - knots) / scale_px
    weights = np.exp(-0.5 * apart**2)
    normed: Field = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return normed


class Grain:
    """One patch of noise that repeats without a seam, to look up at any position and stretch."""

    def __init__(self, rng: np.random.Generator) -> None:
        white = rng.standard_normal((_TEXTURE_SIDE, _TEXTURE_SIDE), dtype=np.float32)
        smooth = scipy.ndimage.gaussian_filter(white, _TEXTURE_SIGMA, mode="wrap", truncate=3.0)
        self._texture = smooth * np.float32(2 * math.sqrt(math.pi) * _TEXTURE_SIGMA)
        self._rng = rng

    def look_up(
        self, along_um: Field, across_um: Field, length_um: float, width_um: float
    ) -> Field:
        """Noise of the given length and width at these coordinates, from a new random start.

        Parameters
        ----------
        along_um, across_um : ndarray, shape (H, W)
            Coordinates along and across the fibres.
        length_um, width_um : float
            Scale of the noise in either direction.
        """
        start = self._rng.uniform(0, _TEXTURE_SIDE, size=2)
        cells = np.stack(
            [
                across_um * (_TEXTURE_SIGMA / width_um) + start[0],
                along_um * (_TEXTURE_SIGMA / length_um) + start[1],
            ]
        )
        found: Field = scipy.ndimage.map_coordinates(
            self._texture, cells, order=1, mode="grid-wrap"
        )
        return found


def ramp(values: Field, low: float, high: float) -> Field:
    """0 up to `low`, 1 from `high` on, smooth between (smoothstep)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    eased: Field = (t * t * (3 - 2 * t)).astype(np.float32)
    return eased
