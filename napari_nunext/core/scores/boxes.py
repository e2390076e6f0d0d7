"""How well boxes match boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.scores.instances import MATCH_IOU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box

_RECALLS = np.linspace(0, 1, 101)


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes x0, y0, x1, y1, shapes (N, 4) and (M, 4); gives (N, M).

    Boxes without an area overlap nothing.
    """
    first, other = a[:, None], b[None]
    low = np.maximum(first[..., :2], other[..., :2])
    high = np.minimum(first[..., 2:], other[..., 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (first[..., 2:] - first[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1)
    iou: NDArray[np.float64] = common / np.maximum(areas - common, np.finfo(np.float64).tiny)
    return iou


def average_precision(
    said: Sequence[Box], truth: Sequence[Box], iou_at_least: float = MATCH_IOU
) -> float:
    """Average precision of the boxes of one image, in the order written, over COCO's 101 recalls.

    Each box takes the truth that it overlaps most, of those that no earlier box took. Language
    models give no scores, so the order stands for them. 1 where nothing is said of nothing (ours).
    """
    if not truth or not said:
        return float(not truth and not said)
    iou, taken = box_iou(_as_array(said), _as_array(truth)), np.zeros(len(truth), dtype=bool)
    right = np.zeros(len(said), dtype=bool)
    for i, row in enumerate(iou):
        free = np.where(taken, -1.0, row)
        best = int(free.argmax())
        if free[best] >= iou_at_least:
            taken[best] = right[i] = True
    found = right.cumsum()
    recall, precision = found / len(truth), found / np.arange(1, len(said) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(envelope, 0.0)[at].mean())


def _as_array(boxes: Sequence[Box]) -> NDArray[np.float64]:
    return np.array([box.as_tuple() for box in boxes], dtype=np.float64)
