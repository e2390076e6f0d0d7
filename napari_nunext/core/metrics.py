"""Detection scores: precision, recall and F1 of matched centroids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.matching import Method, match_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.matching import Matching

MATCH_RADIUS_UM = 3.0
"""Customary radius: 12 px at 40x, 6 px at 20x."""


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """Counts over one or many images, and what follows from them.

    Scores add up by counts (``a + b``): precision, recall and F1 of a data set are those of all its
    nuclei together, as the benchmarks report them.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @classmethod
    def of(cls, matching: Matching) -> DetectionScore:
        """Counts of one matching."""
        return cls(matching.tp, matching.fp, matching.fn)

    def __add__(self, other: DetectionScore) -> DetectionScore:
        return DetectionScore(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Tp / (tp + fp); 1 where nothing was predicted (no prediction was wrong)."""
        predicted = self.tp + self.fp
        return self.tp / predicted if predicted else 1.0

    @property
    def recall(self) -> float:
        """Tp / (tp + fn); 1 where there was nothing to find."""
        true = self.tp + self.fn
        return self.tp / true if true else 1.0

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn) (Eq. 15-17); 1 for empty against empty."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 1.0

    def to_json(self) -> dict[str, Any]:
        """Counts and figures."""
        return {
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DetectionScore:
        """Inverse of `to_json`."""
        return cls(int(data["tp"]), int(data["fp"]), int(data["fn"]))


@dataclass(frozen=True, slots=True)
class DetectionReport:
    """Scores over a data set and how they were matched."""

    overall: DetectionScore
    by_category: dict[str, DetectionScore]
    """Each category matched on its own; empty where the truth has no categories."""
    images: int
    radius_um: float
    method: Method

    @property
    def mean_category_f1(self) -> float | None:
        """Unweighted mean of the categories' F1; None without categories."""
        if not self.by_category:
            return None
        return float(np.mean([score.f1 for score in self.by_category.values()]))

    def to_json(self) -> dict[str, Any]:
        """Everything, for a report."""
        return {
            "overall": self.overall.to_json(),
            "by_category": {name: s.to_json() for name, s in self.by_category.items()},
            "mean_category_f1": self.mean_category_f1,
            "images": self.images,
            "radius_um": self.radius_um,
            "matching": self.method,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DetectionReport:
        """Inverse of `to_json`; what else a report holds is passed over."""
        return cls(
            overall=DetectionScore.from_json(data["overall"]),
            by_category={
                name: DetectionScore.from_json(s) for name, s in data["by_category"].items()
            },
            images=int(data["images"]),
            radius_um=float(data["radius_um"]),
            method=data["matching"],
        )


@dataclass(frozen=True, eq=False, slots=True)
class DetectionCase:
    """One image's predictions beside its truth."""

    pred_xy: PointsXY
    true_xy: PointsXY
    mpp: float
    pred_categories: Sequence[str] | None = None
    true_categories: Sequence[str] | None = None


def score_detections(
    cases: Iterable[DetectionCase],
    *,
    radius_um: float = MATCH_RADIUS_UM,
    method: Method = "gated",
    categories: Sequence[str] = (),
) -> DetectionReport:
    """Score a data set.

    Parameters
    ----------
    cases : iterable of DetectionCase
    radius_um : float
        Matching radius, micrometres; converted with each image's own mpp.
    method : {"gated", "hungarian"}
        See `napari_nunext.core.matching`.
    categories : sequence of str
        Also score each of these, matching its predictions with its nuclei alone, over the cases
        that have categories on both sides.
    """
    overall = DetectionScore()
    by_category = dict.fromkeys(categories, DetectionScore())
    images = 0
    for case in cases:
        images += 1
        radius_px = radius_um / case.mpp
        matching = match_points(case.pred_xy, case.true_xy, radius_px=radius_px, method=method)
        overall += DetectionScore.of(matching)
        if case.pred_categories is None or case.true_categories is None:
            continue
        pred_names = np.asarray(case.pred_categories, dtype=object)
        true_names = np.asarray(case.true_categories, dtype=object)
        for name in by_category:
            part = match_points(
                case.pred_xy[pred_names == name],
                case.true_xy[true_names == name],
                radius_px=radius_px,
                method=method,
            )
            by_category[name] += DetectionScore.of(part)
    return DetectionReport(overall, by_category, images, radius_um, method)
