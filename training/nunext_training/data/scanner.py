"""Scanner jitter: focus, lamp, colours and noise of other scanners. All of it is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Scanner:
    """How one scanner differs from that of the data. The defaults change nothing."""

    mixing: NDArray[np.float64]
    """Shape (3, 3): optical densities in red, green and blue, each from all three. Other dyes."""
    lamp: NDArray[np.float64]
    """Shape (3,): factors of red, green and blue; below 1, glass is no longer white."""
    blur_px: float = 0.0
    """Standard deviation of the Gaussian that the image is out of focus by."""
    sharpening: float = 0.0
    """How much of what that blur takes away is added instead, as scanners do; 0 blurs."""
    noise: float = 0.0
    """Standard deviation of the noise, grey levels."""
    noise_seed: int = 0

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What this scanner makes of an image, shape (H, W, 3)."""
        od = -np.log(np.maximum(rgb, 1) / np.float32(255))
        seen = np.exp(-(od @ self.mixing.astype(np.float32))) * (255 * self.lamp)
        if self.blur_px > 0:
            blurred = gaussian_filter(seen, (self.blur_px, self.blur_px, 0))
            seen = seen + self.sharpening * (seen - blurred) if self.sharpening > 0 else blurred
        if self.noise > 0:
            rng = np.random.default_rng(self.noise_seed)
            seen = seen + rng.normal(0, self.noise, seen.shape)
        pixels: NDArray[np.uint8] = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        return pixels


def random_scanner(rng: np.random.Generator, strength: float) -> Scanner:
    """Draw a scanner.

    Parameters
    ----------
    rng : Generator
    strength : float
        0 draws the scanner of the data. At 0.3, a channel takes up to 0.1 from each other one, the
        lamp is up to 0.15 darker in a channel and overall, one image in two is out of focus by up
        to 1 px, one in four sharpened, and noise is up to 4 grey levels.
    """
    mixing = np.eye(3) + rng.uniform(-strength / 3, strength / 3, (3, 3))
    lamp = np.exp(-rng.uniform(0, strength / 2) - rng.uniform(0, strength / 2, 3))
    kind = rng.random()
    blurred, sharpened = kind < 0.5, kind >= 0.75
    return Scanner(
        mixing,
        lamp,
        blur_px=(rng.uniform(0, strength / 0.3) if blurred else 1.0) * (blurred or sharpened),
        sharpening=rng.uniform(0, strength / 0.3) if sharpened else 0.0,
        noise=rng.uniform(0, strength * 4 / 0.3),
        noise_seed=int(rng.integers(2**31)),
    )
