"""From one mask a prompt to masks that make an instance map (PromptNucSeg's rule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.scores.boxes import box_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        if not (box_iou(boxes[[i]], boxes[kept]) > iou).any():
            kept.append(i)
    return tuple(reversed(kept))
