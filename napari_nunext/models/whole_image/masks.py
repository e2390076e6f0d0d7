"""Masks for prompts anywhere in an image: which window answers, and back to the image's pixels.

Each prompt goes to the window in whose core its first click lies. The windows are those of the
whole image whatever is asked, so that further clicks on the nucleus, and clicks on its neighbours,
find the same pixels, and a segmenter that keeps embeddings of what it has seen answers at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.tiling import plan_grid
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.tiling import Window, WindowGrid
    from napari_nunext.models.segmenter import Segmenter

HALO_UM = 10.0
"""The radius of a very large nucleus."""


def halo_um(window_um: float) -> float:
    """Image around a prompt's first click that a window of this side shows at least, um."""
    return min(HALO_UM, window_um / 4)


def segmenter_windows(
    image: WindowReader, *, window_px: int, window_mpp: float, mpp: float
) -> WindowGrid:
    """The windows in which a segmenter sees an image.

    Parameters
    ----------
    image : WindowReader
    window_px : int
        Side of the segmenter's windows.
    window_mpp, mpp : float
        Micrometres per pixel of its windows, and of level 0.
    """
    return plan_grid(
        image.box,
        image.box,
        window_px=window_px,
        window_mpp=window_mpp,
        halo_um=halo_um(window_px * window_mpp),
        image_mpp=mpp,
    )


@dataclass(frozen=True, slots=True)
class DrawnMask:
    """The mask of a prompt, in level-0 pixels."""

    index: int
    """Position of the prompt among those that were given."""
    mask: Mask
    score: float


def draw_masks(
    image: WindowReader,
    prompts: Sequence[Prompt],
    segmenter: Segmenter,
    *,
    mpp: float,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[DrawnMask, ...]]:
    """Draw a mask for each prompt, window by window.

    Parameters
    ----------
    image : WindowReader
    prompts : sequence of Prompt
        In level-0 pixels, inside the image.
    segmenter : Segmenter
    mpp : float
        Micrometres per level-0 pixel.
    cancelled : callable
        Asked before every window and by the segmenter; once True, nothing more is yielded.

    Yields
    ------
    tuple of DrawnMask
        The masks of one window. A prompt for which no pixel is drawn is left out.

    Raises
    ------
    InputError
        If the clicks on one nucleus lie too far apart for a window to show them all.
    """
    if not prompts:
        return
    info = segmenter.info
    grid = segmenter_windows(image, window_px=info.window_px, window_mpp=info.mpp, mpp=mpp)
    for window, members in _by_window(grid, prompts):
        if cancelled():
            return
        asked = [_in_window(prompts[i], window, info.mpp) for i in members]
        pixels = image.read_window(window.box, window.side_px)
        drawn = []
        answers = segmenter.segment(pixels, asked, cancelled=cancelled)
        # Not strict: a cancelled segmenter stops short.
        for index, answer in zip(members, answers, strict=False):
            mask = to_level0(answer.mask, window, image.box)
            if mask.area_px:
                drawn.append(DrawnMask(index, mask, min(max(answer.score, 0.0), 1.0)))
        if drawn:
            yield tuple(drawn)


def to_level0(mask: Mask, window: Window, image: Box) -> Mask:
    """Resample a mask from a window's pixels to the image's, cut off at the image's edge.

    A pixel belongs to the mask if, interpolated linearly between the centres of the window's
    pixels, the mask is at least one half at the pixel's centre. At equal scale that is a copy.
    """
    scale = window.scale
    x0, y0 = math.floor(window.box.x0), math.floor(window.box.y0)
    if scale == 1 and x0 == window.box.x0 and y0 == window.box.y0:
        return mask.moved(x0, y0).clipped_to(int(image.width), int(image.height))
    left, top = window.box.x0 + mask.x0_px * scale, window.box.y0 + mask.y0_px * scale
    return _resampled(mask, left, top, scale, image)


def to_window(mask: Mask, window: Window) -> Mask:
    """Resample a mask from the image's pixels to a window's, as `to_level0` does."""
    left = (mask.x0_px - window.box.x0) / window.scale
    top = (mask.y0_px - window.box.y0) / window.scale
    side = window.side_px
    return _resampled(mask, left, top, 1 / window.scale, Box(0, 0, side, side))


def _resampled(mask: Mask, left: float, top: float, step: float, within: Box) -> Mask:
    """A mask in other pixels, where its crop begins at a place and a pixel of it is `step` wide."""
    # One pixel more on each side: interpolation reaches half a pixel of the mask beyond the crop.
    x0 = max(math.floor(left - step / 2), math.floor(within.x0))
    y0 = max(math.floor(top - step / 2), math.floor(within.y0))
    x1 = min(math.ceil(left + (mask.width_px + 0.5) * step), math.ceil(within.x1))
    y1 = min(math.ceil(top + (mask.height_px + 0.5) * step), math.ceil(within.y1))
    if mask.area_px == 0 or x0 >= x1 or y0 >= y1:
        return Mask.from_array(np.zeros((0, 0), dtype=bool), x0, y0)
    columns = (np.arange(x0, x1) + 0.5 - left) / step - 0.5
    rows = (np.arange(y0, y1) + 0.5 - top) / step - 0.5
    crop = mask.to_array().astype(np.float32)
    values = _interpolated(_interpolated(crop, rows).T, columns).T
    return Mask.from_array(values >= 0.5, x0, y0)


def _interpolated(values: NDArray[np.float32], at: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of `values`, shape (N, M), at fractional positions; zero beyond them. Linear."""
    at = np.clip(at, -1, len(values))
    below = np.floor(at).astype(int)
    part = (at - below).astype(np.float32)[:, None]
    padded = np.pad(values, ((1, 2), (0, 0)))
    return padded[below + 1] * (1 - part) + padded[below + 2] * part


def _by_window(grid: WindowGrid, prompts: Sequence[Prompt]) -> Iterator[tuple[Window, list[int]]]:
    """Windows that have prompts, with the positions of those."""
    holding = grid.holding(np.array([_anchor(p) for p in prompts]))
    order = np.argsort(holding, kind="stable")
    starts = np.flatnonzero(np.diff(holding[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        yield grid[int(holding[members[0]])], members.tolist()


def _anchor(prompt: Prompt) -> tuple[float, float]:
    """Where a prompt points: the middle of its box, else its first click on the nucleus.

    Not the middle of the clicks: it would move with each, perhaps to another window.
    """
    if prompt.box is not None:
        box = prompt.box
        return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    first = prompt.positive.index(True) if True in prompt.positive else 0
    x, y = prompt.points_xy[first].tolist()
    return x, y


def _in_window(prompt: Prompt, window: Window, mpp: float) -> Prompt:
    """The prompt in pixels of the window, without clicks on other nuclei beyond its edge."""
    points_xy = window.from_level0(prompt.points_xy)
    seen = ((points_xy >= 0) & (points_xy <= window.side_px)).all(axis=1)
    on_it = np.array(prompt.positive, dtype=bool)
    if (on_it & ~seen).any():
        raise InputError(
            "The clicks on one nucleus lie too far apart for the segmenter, which sees "
            f"{window.side_px * mpp:g} um at once. Click closer together, or ask for two masks."
        )
    box = prompt.box
    if box is not None:
        (x0, y0), (x1, y1) = window.from_level0(
            np.array([(box.x0, box.y0), (box.x1, box.y1)])
        ).tolist()
        box = Box(x0, y0, x1, y1)
    outline = None if prompt.outline is None else to_window(prompt.outline, window)
    return Prompt(points_xy[seen], tuple(on_it[seen].tolist()), box, outline)


def point_prompts(points_xy: PointsXY) -> list[Prompt]:
    """A prompt for each point: one click on the nucleus."""
    return [Prompt(points_xy[i : i + 1], (True,)) for i in range(len(points_xy))]
