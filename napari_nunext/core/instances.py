"""Instance segmentation scores of label images: AJI, DQ, SQ, PQ, and bPQ and mPQ per tissue.

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
bPQ, mPQ (Gamper et al., 2020, as PanNuke's public evaluation code means them)
    bPQ of an image is its PQ over all nuclei; mPQ the mean of the PQ of each category among those
    that the image's truth has. An image without nuclei, or a category that an image lacks, is NaN
    and left out, so that false positives there cost nothing; an image in which nothing was found
    has 0 for each of its categories. Instances of a category are scored among themselves, whatever
    covers them. Nuclei that nobody sorted are no category. Means go over the images of a tissue,
    then over the tissues. PQ of a category is the mean over the images that have it.

The public code divides by ``tp + 1e-6`` where SQ is exact here: a difference of 1e-6 at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.integer[Any]]
    """Shape (H, W): 0 is background, every other value one nucleus."""

MATCH_IOU = 0.5
"""Pairs must exceed it: at 0.5 and above no nucleus can have two."""

WITHOUT_TISSUE = "all"
"""The one group of images of which nobody says the tissue."""


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
        table = coo_array((np.ones(len(p), dtype=np.int64), (t, p)), shape=shape).tocsr()
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
    return _match(Overlaps.of(pred, true), iou)


def _match(overlaps: Overlaps, iou: float = MATCH_IOU) -> InstanceMatching:
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
    return _aji(Overlaps.of(pred, true))


def _aji(overlaps: Overlaps) -> float:
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


@dataclass(frozen=True, slots=True)
class InstanceScore:
    """The figures of one image."""

    aji: float
    dq: float
    sq: float
    pq: float
    pq_by_category: Mapping[str, float]
    """Of the categories that the truth has; empty where a side has no categories."""

    @property
    def mpq(self) -> float | None:
        """Mean PQ of the categories that the truth has; None where it has none."""
        return _mean(self.pq_by_category.values())


@dataclass(frozen=True, eq=False, slots=True)
class InstanceCase:
    """One image's predicted instances beside its truth."""

    pred: Labels
    true: Labels
    pred_categories: Mapping[int, str] | None = None
    """Category by label; None where nothing is known of any, as where nothing was found."""
    true_categories: Mapping[int, str] | None = None
    tissue: str | None = None
    pred_by_category: Mapping[str, Labels] | None = None
    """Label images of each category alone, where instances of different ones overlap: `pred` can
    show but one of them at a pixel. Cut out of `pred` when None."""
    true_by_category: Mapping[str, Labels] | None = None

    def score(self) -> InstanceScore | None:
        """Figures of this image; None where its truth is empty, which no mean counts.

        Predictions that are a nucleus of which nobody says the category speak for and against no
        category. Where nothing was found, every category of the truth has a PQ of 0.
        """
        overlaps = Overlaps.of(self.pred, self.true)
        if len(overlaps.true_labels) == 0:
            return None
        found = _match(overlaps)
        by_category: dict[str, float] = {}
        if self.true_categories is not None:
            unsorted = [n for n, name in self.true_categories.items() if name == UNCATEGORISED]
            set_aside = found.pred_label[np.isin(found.true_label, unsorted)]
            for name in sorted(set(self.true_categories.values()) - {UNCATEGORISED}):
                pred = _only(self.pred, self.pred_categories or {}, name, self.pred_by_category)
                pred = np.where(np.isin(pred, set_aside), 0, pred)
                true = _only(self.true, self.true_categories, name, self.true_by_category)
                matching = match_instances(pred, true)
                if matching.n_true:  # a mask may be covered whole by others
                    by_category[name] = matching.pq
        return InstanceScore(_aji(overlaps), found.dq, found.sq, found.pq, by_category)


def _only(
    labels: Labels,
    categories: Mapping[int, str],
    name: str,
    by_category: Mapping[str, Labels] | None,
) -> Labels:
    """The label image with the instances of one category alone."""
    if by_category is not None:
        return by_category.get(name, np.zeros_like(labels))
    kept = np.array([label for label, of in categories.items() if of == name], dtype=np.int64)
    return np.where(np.isin(labels, kept), labels, 0)


@dataclass(frozen=True, slots=True)
class TissueScore:
    """Means over the images of a tissue."""

    bpq: float
    mpq: float | None
    """None where no image has categories on both sides."""
    images: int


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """Means over a data set: over images for AJI, DQ, SQ, PQ; over tissues for bPQ and mPQ."""

    aji: float
    dq: float
    sq: float
    pq: float
    pq_by_category: Mapping[str, float]
    """Mean over the images whose truth has the category."""
    by_tissue: Mapping[str, TissueScore]
    images: int
    """Those that are counted."""
    without_nuclei: int
    """Images left out because their truth is empty."""
    per_image: tuple[InstanceScore | None, ...] = field(default=(), repr=False)
    """In the order of the cases; None for those left out."""

    @property
    def bpq(self) -> float:
        """Mean over tissues of the mean PQ of their images."""
        return float(np.mean([t.bpq for t in self.by_tissue.values()]))

    @property
    def mpq(self) -> float | None:
        """Mean over tissues of the mean mPQ of their images; None without categories."""
        return _mean(t.mpq for t in self.by_tissue.values())

    def to_json(self) -> dict[str, Any]:
        """Everything but the single images, for a report."""
        return {
            "aji": self.aji,
            "dq": self.dq,
            "sq": self.sq,
            "pq": self.pq,
            "bpq": self.bpq,
            "mpq": self.mpq,
            "pq_by_category": dict(self.pq_by_category),
            "by_tissue": {
                name: {"bpq": t.bpq, "mpq": t.mpq, "images": t.images}
                for name, t in self.by_tissue.items()
            },
            "images": self.images,
            "images_without_nuclei": self.without_nuclei,
        }


def score_instances(cases: Iterable[InstanceCase]) -> InstanceReport | None:
    """Score a data set; None where no image has a nucleus in its truth.

    Tissues are sorted by name; images of unknown tissue are one group, `WITHOUT_TISSUE`.
    """
    per_image: list[InstanceScore | None] = []
    tissues: list[str] = []
    has_categories = False
    for case in cases:
        per_image.append(case.score())
        tissues.append(case.tissue or WITHOUT_TISSUE)
        has_categories |= case.pred_categories is not None
    if not has_categories:  # an image in which nothing was found cannot tell that by itself
        per_image = [score and replace(score, pq_by_category={}) for score in per_image]
    counted = [(score, tissue) for score, tissue in zip(per_image, tissues, strict=True) if score]
    if not counted:
        return None
    scores = [score for score, _ in counted]
    names = sorted({name for score in scores for name in score.pq_by_category})
    return InstanceReport(
        aji=float(np.mean([s.aji for s in scores])),
        dq=float(np.mean([s.dq for s in scores])),
        sq=float(np.mean([s.sq for s in scores])),
        pq=float(np.mean([s.pq for s in scores])),
        pq_by_category={
            name: float(
                np.mean([s.pq_by_category[name] for s in scores if name in s.pq_by_category])
            )
            for name in names
        },
        by_tissue={
            tissue: _tissue([s for s, of in counted if of == tissue])
            for tissue in sorted({of for _, of in counted})
        },
        images=len(counted),
        without_nuclei=len(per_image) - len(counted),
        per_image=tuple(per_image),
    )


def _tissue(scores: Sequence[InstanceScore]) -> TissueScore:
    return TissueScore(
        bpq=float(np.mean([s.pq for s in scores])),
        mpq=_mean(s.mpq for s in scores),
        images=len(scores),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there; None where there are none."""
    there = [v for v in values if v is not None]
    return float(np.mean(there)) if there else None
