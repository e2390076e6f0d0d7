"""Windows in which nuclei are asked for, one point each: what a segmenter learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from nunext_training.datasets.windows import Example

MIN_SEEN_PX = 6
"""Less of a nucleus is not asked for: nobody could tell its outline."""


class Windows(Protocol):
    """A map-style data set of painted examples."""

    def __len__(self) -> int:
        """Number of windows."""
        ...

    def __getitem__(self, index: int) -> Example:
        """The window at `index`; IndexError beyond the last."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Prompted:
    """A window and the nuclei that are asked for."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    """Shape (window_px, window_px), as `paint_masks` makes them."""
    chosen: NDArray[np.int64]
    """Shape (P,): labels of the nuclei; 0 throughout where the window has none to ask for."""
    points_xy: PointsXY
    """Shape (P, 2): a point on each, pixels of the window, corner origin."""


class PromptedWindows:
    """Windows with prompts; the i-th is a function of the seed and i.

    Each window gives the same number of prompts: nuclei at random, all of them before any is asked
    for again. One that reaches into the window from beyond counts by what is seen of it, unless
    that is less than `MIN_SEEN_PX`: so look nuclei at the edge of an image. A prompt lies on the
    way from the centroid of what is seen to a random pixel of it.

    Parameters
    ----------
    windows : Windows
        Painted by `paint_masks`.
    prompts : int
        P, for each window.
    jitter : float
        How far on that way at most, 0 to 1; the share is drawn uniformly. 0 is the centroid, as a
        detector gives it; towards 1 come clicks anywhere on the nucleus.
    seed : int
    """

    def __init__(self, windows: Windows, *, prompts: int, jitter: float, seed: int) -> None:
        self._windows = windows
        self._prompts = prompts
        self._jitter = jitter
        self._seed = seed

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Prompted:
        example = self._windows[index]
        labels = example.labels
        if labels is None:
            raise ValueError("A window to prompt in has no labels; paint it with paint_masks.")
        rng = np.random.default_rng((self._seed, index, self._prompts))
        present, seen_px = np.unique(labels[labels > 0], return_counts=True)
        asked_for = present[seen_px >= MIN_SEEN_PX]
        chosen = np.zeros(self._prompts, dtype=np.int64)
        points = np.full((self._prompts, 2), labels.shape[0] / 2)
        if len(asked_for):
            chosen[:] = np.resize(rng.permutation(asked_for), self._prompts)
            for i, label in enumerate(chosen):
                points[i] = self._point_on(labels == label, rng)
        return Prompted(example.rgb, labels, chosen, points)

    def _point_on(
        self, nucleus: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """A point (x, y) on the nucleus, which has a pixel."""
        pixels = np.argwhere(nucleus)[:, ::-1] + 0.5
        centre = pixels.mean(axis=0)
        share = rng.uniform(0, self._jitter)
        point: NDArray[np.float64] = centre + share * (pixels[rng.integers(len(pixels))] - centre)
        return point
