"""Windows in which nuclei are asked for by clicks: what a segmenter learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nunext_training.data.task import Examples
    from nunext_training.data.windows import Example

MIN_SEEN_PX = 6
"""Less of a nucleus is not asked for: nobody could tell its outline."""

BESIDE_PX = 5
"""How far from a nucleus a click beside it is at most, px of the window."""


@dataclass(frozen=True, eq=False, slots=True)
class Prompted:
    """A window and the nuclei that are asked for."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    """Shape (window_px, window_px), as `paint_masks` makes them."""
    chosen: NDArray[np.int64]
    """Shape (P,): labels of the nuclei; 0 throughout where the window has none to ask for."""
    points_xy: NDArray[np.float64]
    """Shape (P, C, 2): a point on each, then further clicks; px of the window, corner origin."""
    positive: NDArray[np.bool_]
    """Shape (P, C): whether a click is on the nucleus, as the first is, or beside it."""


class PromptedWindows:
    """Windows with prompts; the i-th is a function of the seed and i.

    Each window gives the same number of prompts: nuclei at random, all of them before any is asked
    for again. One that reaches into the window from beyond counts by what is seen of it, unless
    that is less than `MIN_SEEN_PX`: so look nuclei at the edge of an image. A prompt lies on the
    way from the centroid of what is seen to a random pixel of it.

    Parameters
    ----------
    windows : Examples
        Painted by `paint_masks`.
    prompts : int
        P, for each window.
    jitter : float
        How far on that way at most, 0 to 1; the share is drawn uniformly. 0 is the centroid, as a
        detector gives it; towards 1 come clicks anywhere on the nucleus.
    seed : int
    clicks : int
        Further clicks on each nucleus at most, as people make who correct an outline: every other
        batch has one to so many of them, each anywhere on it or up to `BESIDE_PX` beside it.
    batch : int
        Windows that are learned from at once, by all processes together, and follow one another:
        all of them have as many clicks.
    """

    def __init__(
        self,
        windows: Examples[Example],
        *,
        prompts: int,
        jitter: float,
        seed: int,
        clicks: int = 0,
        batch: int = 1,
    ) -> None:
        self._windows = windows
        self._prompts = prompts
        self._jitter = jitter
        self._seed = seed
        self._clicks = clicks
        self._batch = batch

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
        shape = (self._prompts, 1 + self._further_clicks(index))
        points, positive = np.full((*shape, 2), labels.shape[0] / 2), np.ones(shape, dtype=bool)
        if len(asked_for):
            chosen[:] = np.resize(rng.permutation(asked_for), self._prompts)
            positive[:, 1:] = rng.random((shape[0], shape[1] - 1)) < 0.5
            for i, label in enumerate(chosen):
                nucleus = labels == label
                points[i, 0] = self._point_on(nucleus, rng)
                for j, on_it in enumerate(positive[i, 1:], start=1):
                    points[i, j] = _pixel_of(nucleus if on_it else _beside(nucleus), rng)
        return Prompted(example.rgb, labels, chosen, points, positive)

    def _further_clicks(self, index: int) -> int:
        rng = np.random.default_rng((self._seed, index // self._batch))
        return int(rng.integers(1, self._clicks + 1)) if self._clicks and rng.random() < 0.5 else 0

    def _point_on(
        self, nucleus: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """A point (x, y) on the nucleus, which has a pixel."""
        pixels = np.argwhere(nucleus)[:, ::-1] + 0.5
        centre = pixels.mean(axis=0)
        share = rng.uniform(0, self._jitter)
        point: NDArray[np.float64] = centre + share * (pixels[rng.integers(len(pixels))] - centre)
        return point


def depth_of_largest(wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How deep each pixel lies in the largest region that is wrong, px; 0 elsewhere.

    Where somebody clicks who corrects an outline (Sofiiuk et al., RITM, 2022).
    """
    regions, count = label(wrong)
    if not count:
        return np.zeros(wrong.shape)
    largest = regions == np.bincount(regions.ravel())[1:].argmax() + 1
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    return depth


def correcting_click(
    drawn: NDArray[np.bool_], true: NDArray[np.bool_], near_xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool] | None:
    """A click that corrects a mask, and whether it is on the nucleus; None where nothing is wrong.

    It lies in the deeper half of the largest region that is wrong, as near to a place as may be:
    who clicks hardly looks for the very middle.

    Parameters
    ----------
    drawn, true : ndarray of bool, shape (H, W)
    near_xy : ndarray, shape (2,)
    """
    depth = depth_of_largest(drawn != true)
    if not depth.any():
        return None
    pixels = np.argwhere(2 * depth >= depth.max())
    centres_xy = pixels[:, ::-1] + 0.5
    nearest = int(np.argmin(((centres_xy - near_xy) ** 2).sum(axis=1)))
    row, column = pixels[nearest]
    return centres_xy[nearest], bool(true[row, column])


def _beside(nucleus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels around a nucleus; all others of the window where there are none."""
    around = binary_dilation(nucleus, iterations=BESIDE_PX) & ~nucleus
    return around if around.any() else ~nucleus


def _pixel_of(part: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """The centre (x, y) of a random pixel."""
    pixels = np.argwhere(part)
    centre: NDArray[np.float64] = pixels[rng.integers(len(pixels))][::-1] + 0.5
    return centre
