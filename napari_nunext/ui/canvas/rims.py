"""The pixels on the rim of many masks at once.

A rim is what of a mask touches, by an edge, a pixel that is not of it. Mask by mask this takes some
50 us each, most of it spent on small arrays: two seconds where a field has 40,000.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask

BATCH = 2000
"""Masks that are laid out at once: some megabytes."""


def rims_of(masks: Sequence[Mask], height_px: int, width_px: int) -> list[NDArray[np.int64]]:
    """The rim of each mask within an image: places in the image's rows laid end to end."""
    batches = (masks[i : i + BATCH] for i in range(0, len(masks), BATCH))
    return list(chain.from_iterable(_rims(batch, height_px, width_px) for batch in batches))


def _rims(masks: Sequence[Mask], height_px: int, width_px: int) -> list[NDArray[np.int64]]:
    boxes = np.array([(m.x0_px, m.y0_px, m.height_px, m.width_px) for m in masks], dtype=np.int64)
    x0, y0, height, width = boxes.T
    # All crops in one line, column by column, each with a pixel of nothing on all its sides.
    stride = height + 2
    sizes = stride * (width + 2)
    starts = np.cumsum(sizes) - sizes
    mask, row, column = _inside(masks, height)
    place = starts[mask] + (column + 1) * stride[mask] + row + 1
    inside = np.zeros(int(sizes.sum()), dtype=bool)
    inside[place] = True
    beside = stride[mask]
    core = inside[place - 1] & inside[place + 1] & inside[place - beside] & inside[place + beside]
    row, column = row + y0[mask], column + x0[mask]
    rim = ~core & (row >= 0) & (row < height_px) & (column >= 0) & (column < width_px)
    pixels = row[rim] * width_px + column[rim]
    ends = np.searchsorted(mask[rim], np.arange(1, len(masks)))
    return np.split(pixels, ends)


def _inside(
    masks: Sequence[Mask], height: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each pixel of each mask, in order: number of the mask, row and column in its crop."""
    counts = [np.fromiter(m.counts, dtype=np.int64, count=len(m.counts)) for m in masks]
    runs = np.concatenate([*counts, np.empty(0, dtype=np.int64)])
    lengths = np.array([len(c) for c in counts], dtype=np.int64)
    of_mask = np.repeat(np.arange(len(masks)), lengths)
    first_runs = np.cumsum(lengths) - lengths
    is_set = (np.arange(len(runs)) - first_runs[of_mask]) % 2 == 1
    run_starts = np.cumsum(runs) - runs
    mask_starts = np.concatenate((run_starts, [0]))[np.minimum(first_runs, len(runs))]
    mask = np.repeat(of_mask[is_set], runs[is_set])
    # The pixels of a run follow each other: its start, and how far they are into it.
    set_runs = runs[is_set]
    into = np.arange(set_runs.sum()) - np.repeat(np.cumsum(set_runs) - set_runs, set_runs)
    at = np.repeat(run_starts[is_set], set_runs) + into - mask_starts[mask]
    column, row = np.divmod(at, np.maximum(height[mask], 1))
    return mask, row, column
