"""Windows on which a checkpoint decides clearly: what may be compared across engines and batches.

Floating-point sums depend on the order of their terms, and so on the batch, the kernels and the
processor. An untrained checkpoint is undecided at a few of its thousands of steps: there the last
bits choose, and from there on two replies differ. Whoever compares replies token by token, between
runs that are not bit by bit the same computation, does so on windows without such a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_nunext.models.next_point.decoder import decode_batch
from napari_nunext.models.next_point.replies import end_by_majority

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

CLEAR = 5e-3
"""Logits. Engines in float32 differ by some 1e-5 here; a reply takes dozens of steps."""


def smallest_margins(
    checkpoint: LoadedCheckpoint, windows: Sequence[NDArray[np.uint8]]
) -> torch.Tensor:
    """How close each window's greedy reply came to another one, in logits, shape (len(windows),).

    At each step: the best token against the second best, and going on against the end.
    """
    description = checkpoint.description
    smallest = torch.full((len(windows),), torch.inf)
    with torch.no_grad():
        for step in decode_batch(
            checkpoint.model,
            checkpoint.windows(windows),
            description.codec,
            max_points=description.max_points,
        ):
            is_end = step.allowed_ids == description.codec.end_id
            two = end_by_majority(step.scores, is_end).topk(2, dim=-1).values
            margins = two[:, 0] - two[:, 1]
            if is_end.any():
                p_end = step.probabilities[:, is_end].sum(dim=1)
                margins = torch.minimum(margins, p_end.logit().abs())
            smallest[step.rows] = torch.minimum(smallest[step.rows], margins)
    return smallest


def clear_windows(
    checkpoints: Sequence[LoadedCheckpoint], candidates: Iterable[NDArray[np.uint8]], count: int
) -> list[NDArray[np.uint8]]:
    """The first `count` of `candidates` on which every checkpoint decides by `CLEAR` or more."""
    tried = list(candidates)
    clear = torch.stack([smallest_margins(c, tried) >= CLEAR for c in checkpoints]).all(dim=0)
    found = [window for window, is_clear in zip(tried, clear.tolist(), strict=True) if is_clear]
    assert len(found) >= count, f"{len(found)} of {len(tried)} windows are clear"
    return found[:count]
