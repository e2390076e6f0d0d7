"""From one mask a prompt to masks that make an instance map (PromptNucSeg's rule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.models.segmenter import ScoredMask


def resolve_overlaps(masks: Sequence[ScoredMask], iou: float = 0.5) -> tuple[int, ...]:
    """Choose the masks to paint, and their order.

    Box non-maximum suppression by score: of two masks whose boxes overlap by more than `iou`, the
    one with the lower score goes (ties: the later one). Empty masks go as well.

    Parameters
    ----------
    masks : sequence of ScoredMask
    iou : float
        Intersection over union of the bounding boxes, in [0, 1].

    Returns
    -------
    tuple of int
        Indices of the masks that stay, lowest score first: painted in this order, as
        `napari_nunext.core.shapes.masks.label_image` does, the surest mask lies on top.
    """
    boxes = np.array(
        [(m.mask.x0_px, m.mask.y0_px, m.mask.width_px, m.mask.height_px) for m in masks],
        dtype=np.float64,
    ).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    order = sorted(
        (i for i, m in enumerate(masks) if m.mask.area_px > 0), key=lambda i: (-masks[i].score, i)
    )
    kept: list[int] = []
    for i in order:
        if not (_box_iou(boxes[i], boxes[kept]) > iou).any():
            kept.append(i)
    return tuple(reversed(kept))


def _box_iou(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of one box x0, y0, x1, y1 with each of `others`, shape (N, 4). Gives shape (N,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    return np.asarray(common / (area + (others[:, 2:] - others[:, :2]).prod(axis=1) - common))
