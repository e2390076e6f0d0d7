"""Masks for prompts anywhere in an image: which window answers, and back to the image's pixels.

Each prompt goes to the window in whose core it lies. The windows are those of the whole image
whatever is asked, so that a second click near the first finds the same pixels, and a segmenter that
keeps embeddings of what it has seen answers at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import map_coordinates

from napari_nunext.core.geometry import Box
from napari_nunext.core.masks import Mask
from napari_nunext.core.tiling import plan_windows
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.tiling import Window
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.models.whole_image import WindowReader

HALO_UM = 10.0
"""Image around a prompt that its window shows at least: the radius of a very large nucleus."""


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
    """
    if not prompts:
        return
    info = segmenter.info
    whole = Box.of_image(image.width_px, image.height_px)
    windows = plan_windows(
        whole,
        whole,
        window_px=info.window_px,
        window_mpp=info.mpp,
        halo_um=min(HALO_UM, info.window_px * info.mpp / 4),
        image_mpp=mpp,
    )
    for window, members in _by_window(windows, prompts):
        if cancelled():
            return
        pixels = image.read_window(window.box, window.side_px)
        asked = [_in_window(prompts[i], window) for i in members]
        drawn = []
        answers = segmenter.segment(pixels, asked, cancelled=cancelled)
        # Not strict: a cancelled segmenter stops short.
        for index, answer in zip(members, answers, strict=False):
            mask = to_level0(answer.mask, window, whole)
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
    left, top = window.box.x0 + mask.x0_px * scale, window.box.y0 + mask.y0_px * scale
    # One pixel more on each side: interpolation reaches half a window pixel beyond the crop.
    x0 = max(math.floor(left - scale / 2), math.floor(image.x0))
    y0 = max(math.floor(top - scale / 2), math.floor(image.y0))
    x1 = min(math.ceil(left + (mask.width_px + 0.5) * scale), math.ceil(image.x1))
    y1 = min(math.ceil(top + (mask.height_px + 0.5) * scale), math.ceil(image.y1))
    if mask.area_px == 0 or x0 >= x1 or y0 >= y1:
        return Mask.from_array(np.zeros((0, 0), dtype=bool), x0, y0)
    columns = (np.arange(x0, x1) + 0.5 - left) / scale - 0.5
    rows = (np.arange(y0, y1) + 0.5 - top) / scale - 0.5
    values = map_coordinates(
        mask.to_array().astype(np.float32),
        np.meshgrid(rows, columns, indexing="ij"),
        order=1,
        mode="grid-constant",
    )
    return Mask.from_array(values >= 0.5, x0, y0)


def _by_window(
    windows: tuple[Window, ...], prompts: Sequence[Prompt]
) -> Iterator[tuple[Window, list[int]]]:
    """Windows that have prompts, with the positions of those."""
    # Cores lie in rows and columns: their lower edges tell row and column of a point.
    column_stops = np.unique([w.core.x1 for w in windows])
    row_stops = np.unique([w.core.y1 for w in windows])
    anchors = np.array([_anchor(p) for p in prompts])
    columns = np.searchsorted(column_stops[:-1], anchors[:, 0], side="right")
    rows = np.searchsorted(row_stops[:-1], anchors[:, 1], side="right")
    members: dict[int, list[int]] = defaultdict(list)
    for i, window_index in enumerate((rows * len(column_stops) + columns).tolist()):
        members[window_index].append(i)
    for window_index in sorted(members):
        yield windows[window_index], members[window_index]


def _anchor(prompt: Prompt) -> tuple[float, float]:
    """Where a prompt points: the middle of its box, else of its clicks on the nucleus."""
    if prompt.box is not None:
        box = prompt.box
        return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    on_it = np.array(prompt.positive, dtype=bool)
    points = prompt.points_xy[on_it] if on_it.any() else prompt.points_xy
    x, y = points.mean(axis=0).tolist()
    return x, y


def _in_window(prompt: Prompt, window: Window) -> Prompt:
    box = prompt.box
    if box is not None:
        (x0, y0), (x1, y1) = window.from_level0(
            np.array([(box.x0, box.y0), (box.x1, box.y1)])
        ).tolist()
        box = Box(x0, y0, x1, y1)
    return Prompt(window.from_level0(prompt.points_xy), prompt.positive, box)


def point_prompts(points_xy: PointsXY) -> list[Prompt]:
    """A prompt for each point: one click on the nucleus."""
    return [Prompt(points_xy[i : i + 1], (True,)) for i in range(len(points_xy))]
