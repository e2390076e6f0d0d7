"""Instance scores of data sets: means of AJI, DQ, SQ and PQ, and bPQ and mPQ per tissue.

Definitions followed
--------------------
AJI, DQ, SQ, PQ
    Of each image as `napari_nunext.core.scores.instances` has them; means go over the images.
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

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.instances import Overlaps, aji_of, match_instances, match_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_nunext.core.scores.instances import Labels

WITHOUT_TISSUE = "all"
"""The one group of images of which nobody says the tissue."""


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
        found = match_overlaps(overlaps)
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
        return InstanceScore(aji_of(overlaps), found.dq, found.sq, found.pq, by_category)


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
    tissues: tuple[str, ...] = field(default=(), repr=False)
    """Of each image that is counted."""

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
        tissues=tuple(tissue for _, tissue in counted),
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
