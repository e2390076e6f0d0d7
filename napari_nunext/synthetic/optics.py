"""From stain to picture: absorption, the microscope, the camera and the compression.

Light that passes a stain is weakened by a factor of ten for each unit of optical density, and the
densities of stains add up (Beer and Lambert), which is why stains are mixed as amounts and not as
colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.stains.optical_density import DAB_RGB, EOSIN_RGB, HAEMATOXYLIN_RGB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.synthetic.fields import Field, Grid

WARM_HAEMATOXYLIN_RGB = (0.56, 0.71, 0.42)
WARM_EOSIN_RGB = (0.24, 0.78, 0.58)
"""The same stains in many scanned sections (measured on BRCA-M2C): more blue is absorbed."""
_BLOOD_RGB = (0.12, 0.85, 0.55)

_LUMINANCE_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float32,
)
_CHROMA_STEPS = np.full((8, 8), 99, dtype=np.float32)
_CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""Quantisation of JPEG at quality 50 (ITU-T T.81, annex K)."""

_YCC_OF_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class Look:
    """One laboratory and one scanner."""

    stains_rgb: tuple[tuple[float, float, float], ...]
    """Unit vectors of optical density: haematoxylin, eosin, blood, diaminobenzidine."""
    amounts_od: tuple[float, float, float, float]
    """Optical density of one unit of each."""
    white_rgb: tuple[float, float, float]
    """Light through glass, 0 to 255."""
    blur_um: float
    """Standard deviation of the point spread."""
    noise: float
    """Standard deviation of the camera's noise, grey levels."""
    shading: float
    """Uneven illumination, as a share."""
    jpeg_quality: float | None
    """50 to 100; None: not compressed."""


def draw_look(rng: np.random.Generator, *, variation: float, compressed: bool) -> Look:
    """Draw a look; at `variation` 0 it is the reference, whatever the generator says.

    At 1, stain vectors and amounts spread as over the laboratories of BRCA-M2C.
    """
    warmth = float(np.clip(0.45 + variation * rng.uniform(-0.45, 0.45), 0, 1))
    pairs = (
        (HAEMATOXYLIN_RGB, WARM_HAEMATOXYLIN_RGB),
        (EOSIN_RGB, WARM_EOSIN_RGB),
        (_BLOOD_RGB, _BLOOD_RGB),
        (DAB_RGB, DAB_RGB),
    )
    vectors = []
    for cool, warm in pairs:
        mixed = (1 - warmth) * np.array(cool) + warmth * np.array(warm)
        mixed = np.maximum(mixed + variation * rng.normal(0, 0.035, 3), 0.02)
        vectors.append(tuple((mixed / np.linalg.norm(mixed)).tolist()))
    amounts = np.array([0.85, 0.27, 0.5, 0.7]) * np.exp(
        variation * rng.normal(0, 1, 4).clip(-1.8, 1.8) * [0.3, 0.3, 0.2, 0.2]
    )
    dimmer = rng.uniform(0, 10) + np.array([0, 1, 0.6]) * rng.uniform(0, 8)
    white = 248.0 + variation * (6.0 - dimmer)
    blur_um, noise, shading, quality = rng.uniform([0.2, 0.6, 0.0, 65.0], [0.5, 2.4, 0.03, 95.0])
    return Look(
        tuple(vectors),
        tuple(amounts.tolist()),
        tuple(white.clip(200, 254).tolist()),
        float(blur_um),
        float(noise),
        float(shading),
        float(quality) if compressed else None,
    )


def expose(
    rng: np.random.Generator,
    grid: Grid,
    look: Look,
    amounts: tuple[Field, Field, Field, Field],
) -> NDArray[np.uint8]:
    """Photograph amounts of haematoxylin, eosin, blood and diaminobenzidine.

    Parameters
    ----------
    rng : numpy.random.Generator
    grid : Grid
    look : Look
    amounts : tuple of ndarray, each of shape (H, W)
        0 on glass.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    vectors = np.array(look.stains_rgb, dtype=np.float32)
    vectors *= np.array(look.amounts_od, dtype=np.float32)[:, np.newaxis]
    density = np.stack(amounts, axis=-1) @ vectors
    light = np.exp(density * np.float32(-np.log(10)))
    sigma_px = look.blur_um / grid.mpp
    light = scipy.ndimage.gaussian_filter(light, (sigma_px, sigma_px, 0), truncate=3.0)
    light *= np.array(look.white_rgb, dtype=np.float32)
    light *= (1 + look.shading * np.clip(grid.noise(rng, 250.0), -1.5, 0.5))[..., np.newaxis]
    light += np.float32(look.noise) * rng.standard_normal(light.shape, dtype=np.float32)
    if look.jpeg_quality is not None:
        light = _quantised(light, look.jpeg_quality)
    rgb: NDArray[np.uint8] = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return rgb


def _quantised(rgb: NDArray[np.float32], quality: float) -> NDArray[np.float32]:
    """What is left of a picture after JPEG: the blocks' cosines, rounded to coarse steps.

    Only the loss is made, no file, so the result is the same on every machine. `quality` is that of
    libjpeg, 50 to 100.
    """
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    planes = np.moveaxis(padded @ _YCC_OF_RGB.T, 2, 0)
    blocks = planes.reshape(3, padded.shape[0] // 8, 8, padded.shape[1] // 8, 8)
    cosines = scipy.fft.dctn(blocks, axes=(2, 4), norm="ortho")
    coarseness = (200 - 2 * quality) / 100
    tables = np.stack([_LUMINANCE_STEPS, _CHROMA_STEPS, _CHROMA_STEPS])
    steps = np.maximum(np.rint(tables * coarseness), 1)[:, np.newaxis, :, np.newaxis, :]
    blocks = scipy.fft.idctn(np.rint(cosines / steps) * steps, axes=(2, 4), norm="ortho")
    planes = blocks.reshape(planes.shape)
    back: NDArray[np.float32] = np.moveaxis(planes, 0, 2) @ np.linalg.inv(_YCC_OF_RGB).T
    return back[:height, :width]
