"""Instance segmentation scores of one label image: AJI, DQ, SQ and PQ.

Means over data sets are in `napari_nunext.core.scores.instance_scores`.

A label image has shape (H, W) and whole numbers: 0 is background, every other value one nucleus.

Definitions followed
--------------------
PQ (Kirillov et al., 2019; for nuclei Graham et al., 2019)
    A prediction and a nucleus are a pair where their IoU exceeds 0.5, so that pairs are unique
    without a search. DQ = tp / (tp + fp/2 + fn/2), SQ = mean IoU of the pairs, PQ = DQ * SQ.
AJI (Kumar et al., 2017)
    Each nucleus takes the prediction of largest IoU (ties: the smaller label; one prediction may be
    taken more than once). AJI is the sum of their intersections over the sum of their unions, of
    the nuclei that nothing touches, and of the predictions that nobody took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.integer[Any]]
    """Shape (H, W): 0 is background, every other value one nucleus."""

MATCH_IOU = 0.5
"""Pairs must exceed it: at 0.5 and above no nucleus can have two."""


@dataclass(frozen=True, eq=False, slots=True)
class Overlaps:
    """The pixels that predictions and nuclei share, as a sparse table."""

    pred_labels: NDArray[np.int64]
    """Shape (P,): labels of the predictions, ascending, without 0."""
    true_labels: NDArray[np.int64]
    """Shape (T,): labels of the nuclei, ascending, without 0."""
    pred_area_px: NDArray[np.int64]
    true_area_px: NDArray[np.int64]
    pred_index: NDArray[np.intp]
    """Shape (K,): of each overlapping pair, the position in `pred_labels`."""
    true_index: NDArray[np.intp]
    """Shape (K,): and in `true_labels`. Pairs are ascending by nucleus, then prediction."""
    common_px: NDArray[np.int64]
    """Shape (K,): pixels that the pair shares; at least 1."""

    @classmethod
    def of(cls, pred: Labels, true: Labels) -> Overlaps:
        """Count the pixels of two label images of one shape.

        Raises
        ------
        InputError
            If a label image is not two-dimensional, whole-numbered and non-negative, or the shapes
            differ.
        """
        pred, true = np.asarray(pred), np.asarray(true)
        for what, labels in (("predicted", pred), ("true", true)):
            if labels.ndim != 2 or labels.dtype.kind not in "biu":
                raise InputError(
                    f"The {what} label image is {labels.dtype} {labels.shape}; expected whole "
                    "numbers of shape (H, W)."
                )
            if labels.size and labels.min() < 0:
                raise InputError(f"The {what} label image has negative labels; expected 0 and up.")
        if pred.shape != true.shape:
            raise InputError(
                f"Label images differ in shape: predicted {pred.shape}, true {true.shape}. "
                "Compare images of one size."
            )
        # Most pixels are background in both and take no part.
        some = np.flatnonzero((pred > 0) | (true > 0))
        pred_labels, p = _numbered(pred.ravel()[some])
        true_labels, t = _numbered(true.ravel()[some])
        shape = (len(true_labels) + 1, len(pred_labels) + 1)
        # A sparse matrix adds up equal entries without sorting them.
        table = scipy.sparse.coo_array(
            (np.ones(len(p), dtype=np.int64), (t, p)), shape=shape
        ).tocsr()
        table.sum_duplicates()
        pairs = table.tocoo()
        both = (pairs.row > 0) & (pairs.col > 0)
        return cls(
            pred_labels=pred_labels,
            true_labels=true_labels,
            pred_area_px=np.bincount(p, minlength=shape[1])[1:],
            true_area_px=np.bincount(t, minlength=shape[0])[1:],
            pred_index=pairs.col[both].astype(np.intp) - 1,
            true_index=pairs.row[both].astype(np.intp) - 1,
            common_px=pairs.data[both],
        )

    @property
    def union_px(self) -> NDArray[np.int64]:
        """Pixels of each pair together, shape (K,)."""
        union: NDArray[np.int64] = (
            self.pred_area_px[self.pred_index] + self.true_area_px[self.true_index] - self.common_px
        )
        return union

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, shape (K,)."""
        ratio: NDArray[np.float64] = self.common_px / self.union_px
        return ratio


def _numbered(flat: Labels) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Labels in use, ascending without 0, and which of them, from 1, each pixel has (0: none)."""
    largest = int(flat.max(initial=0))
    if largest > 16 * flat.size + 1024:  # too sparse for a table
        used, number = np.unique(flat, return_inverse=True)
        background = int(used[0] == 0)
        return used[background:].astype(np.int64), number.astype(np.intp) + 1 - background
    present = np.bincount(flat, minlength=largest + 1) > 0
    present[0] = False
    number = np.where(present, np.cumsum(present), 0)
    return np.flatnonzero(present).astype(np.int64), number[flat].astype(np.intp, copy=False)


@dataclass(frozen=True, eq=False, slots=True)
class InstanceMatching:
    """Which predicted instance is which nucleus, by label."""

    pred_label: NDArray[np.int64]
    """Shape (tp,)."""
    true_label: NDArray[np.int64]
    """Shape (tp,): ascending."""
    iou: NDArray[np.float64]
    """Shape (tp,): each above the threshold."""
    n_pred: int
    n_true: int

    @property
    def tp(self) -> int:
        """Pairs."""
        return len(self.iou)

    @property
    def fp(self) -> int:
        """Predictions without a nucleus."""
        return self.n_pred - self.tp

    @property
    def fn(self) -> int:
        """Nuclei without a prediction."""
        return self.n_true - self.tp

    @property
    def dq(self) -> float:
        """Detection quality, the F1 of instances; 1 for empty against empty."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 1.0

    @property
    def sq(self) -> float:
        """Mean IoU of the pairs; without a pair 0, and 1 for empty against empty."""
        if self.tp:
            return float(self.iou.mean())
        return 0.0 if self.n_pred or self.n_true else 1.0

    @property
    def pq(self) -> float:
        """Panoptic quality, DQ * SQ."""
        return self.dq * self.sq


def match_instances(pred: Labels, true: Labels, *, iou: float = MATCH_IOU) -> InstanceMatching:
    """Match the instances of two label images of shape (H, W).

    Parameters
    ----------
    pred, true : ndarray of int, shape (H, W)
        0 is background; labels need not follow each other.
    iou : float
        What a pair must exceed; from 0.5 up, where pairs are unique.

    Raises
    ------
    InputError
        If the images do not fit each other, or `iou` is below 0.5.
    """
    return match_overlaps(Overlaps.of(pred, true), iou)


def match_overlaps(overlaps: Overlaps, iou: float = MATCH_IOU) -> InstanceMatching:
    """`match_instances` of pixels that are counted already."""
    if not MATCH_IOU <= iou < 1:
        raise InputError(f"Instances are matched at IoU > {iou}; expected 0.5 to below 1.")
    ratio = overlaps.iou
    pair = ratio > iou
    return InstanceMatching(
        pred_label=overlaps.pred_labels[overlaps.pred_index[pair]],
        true_label=overlaps.true_labels[overlaps.true_index[pair]],
        iou=ratio[pair],
        n_pred=len(overlaps.pred_labels),
        n_true=len(overlaps.true_labels),
    )


def pq(pred: Labels, true: Labels) -> float:
    """Panoptic quality of a predicted label image (H, W); 1 for empty against empty."""
    return match_instances(pred, true).pq


def aji(pred: Labels, true: Labels) -> float:
    """Aggregated Jaccard index of a predicted label image (H, W); 1 for empty against empty."""
    return aji_of(Overlaps.of(pred, true))


def aji_of(overlaps: Overlaps) -> float:
    """`aji` of pixels that are counted already."""
    order = np.lexsort((overlaps.pred_index, -overlaps.iou, overlaps.true_index))
    touched, first = np.unique(overlaps.true_index[order], return_index=True)
    best = order[first]
    untouched = np.ones(len(overlaps.true_labels), dtype=bool)
    untouched[touched] = False
    not_taken = np.ones(len(overlaps.pred_labels), dtype=bool)
    not_taken[overlaps.pred_index[best]] = False
    union = (
        overlaps.union_px[best].sum()
        + overlaps.true_area_px[untouched].sum()
        + overlaps.pred_area_px[not_taken].sum()
    )
    return float(overlaps.common_px[best].sum() / union) if union else 1.0
