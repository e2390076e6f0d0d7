"""Stand-ins for packages that draw label images: their real signatures over a threshold."""

from __future__ import annotations

import numpy as np
import pytest

DISCS = ((20.0, 24.0, 7.0), (70.25, 31.5, 6.0), (99.0, 88.75, 8.0))
"""x, y and radius of dark discs, pixels of an image of 0.5 um per pixel."""


@pytest.fixture
def discs() -> tuple[tuple[float, float, float], ...]:
    """x, y and radius of each disc of `discs_rgb`."""
    return DISCS


@pytest.fixture
def discs_rgb() -> np.ndarray:
    """Dark discs on pink, 128 x 128 px."""
    image = np.full((128, 128, 3), (235, 200, 220), dtype=np.uint8)
    rows, columns = np.mgrid[:128, :128] + 0.5
    for x, y, radius in DISCS:
        image[np.hypot(columns - x, rows - y) < radius] = (60, 30, 120)
    return image
