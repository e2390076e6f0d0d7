"""Detection scores: precision, recall and F1 of matched centroids."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.matching import HUNGARIAN_LIMIT, Method, match_points
from napari_nunext.core.scores.type_scores import TypeScore, score_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.scores.matching import Matching

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
class ImageScore:
    """The counts of one image: those of a data set are their sums."""

    overall: DetectionScore
    by_category: dict[str, DetectionScore]
    """Every category that the data set is scored by, with no counts where a side has none."""
    by_type: dict[str, TypeScore]
    matching: Matching = field(repr=False, compare=False)
    """Of all nuclei, whatever their categories."""


@dataclass(frozen=True, slots=True)
class DetectionReport:
    """Scores over a data set and how they were matched."""

    overall: DetectionScore
    by_category: dict[str, DetectionScore]
    """Each category matched on its own; empty where the truth has no categories."""
    images: int
    radius_um: float
    method: Method
    by_type: dict[str, TypeScore] = field(default_factory=dict)
    """All nuclei matched first, then types compared, as HoVer-Net has it; empty likewise."""
    other: DetectionReport | None = None
    """The same by the other way of matching; None where nobody asked, or Eq. 13 is too large."""
    per_image: tuple[ImageScore, ...] = field(default=(), repr=False, compare=False)
    """In the order of the cases; empty where it was read from a file."""

    @property
    def mean_category_f1(self) -> float | None:
        """Unweighted mean of the categories' F1; None without categories."""
        return _mean_f1(self.by_category)

    @property
    def mean_type_f1(self) -> float | None:
        """Unweighted mean of HoVer-Net's F1 of the types; None without categories."""
        return _mean_f1(self.by_type)

    @property
    def by_matching(self) -> dict[Method, DetectionReport]:
        """The report of each way of matching that there is, the one that was asked for first."""
        other = {} if self.other is None else {self.other.method: self.other}
        return {self.method: self, **other}

    def to_json(self) -> dict[str, Any]:
        """Everything but the single images, for a report."""
        return {
            "overall": self.overall.to_json(),
            "by_category": {name: s.to_json() for name, s in self.by_category.items()},
            "mean_category_f1": self.mean_category_f1,
            "by_type": {name: s.to_json() for name, s in self.by_type.items()},
            "mean_type_f1": self.mean_type_f1,
            "images": self.images,
            "radius_um": self.radius_um,
            "matching": self.method,
            "other_matching": None if self.other is None else self.other.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DetectionReport:
        """Inverse of `to_json`; what else a report holds is passed over."""
        other = data.get("other_matching")
        return cls(
            overall=DetectionScore.from_json(data["overall"]),
            by_category={
                name: DetectionScore.from_json(s) for name, s in data["by_category"].items()
            },
            images=int(data["images"]),
            radius_um=float(data["radius_um"]),
            method=data["matching"],
            by_type={n: TypeScore.from_json(s) for n, s in data.get("by_type", {}).items()},
            other=None if other is None else cls.from_json(other),
        )


def _mean_f1(scores: Mapping[str, DetectionScore] | Mapping[str, TypeScore]) -> float | None:
    return float(np.mean([score.f1 for score in scores.values()])) if scores else None


@dataclass(frozen=True, eq=False, slots=True)
class DetectionCase:
    """One image's predictions beside its truth."""

    pred_xy: PointsXY
    true_xy: PointsXY
    mpp: float
    pred_categories: Sequence[str] | None = None
    true_categories: Sequence[str] | None = None

    @property
    def is_large(self) -> bool:
        """Whether matching by Eq. 13 refuses it."""
        return max(len(self.pred_xy), len(self.true_xy)) > HUNGARIAN_LIMIT


def score_detections(
    cases: Iterable[DetectionCase],
    *,
    radius_um: float = MATCH_RADIUS_UM,
    method: Method = "gated",
    categories: Sequence[str] = (),
    both: bool = False,
) -> DetectionReport:
    """Score a data set.

    Parameters
    ----------
    cases : iterable of DetectionCase
    radius_um : float
        Matching radius, micrometres; converted with each image's own mpp.
    method : {"gated", "hungarian"}
        See `napari_nunext.core.scores.matching`.
    categories : sequence of str
        Also score each of these, over the cases that have categories on both sides: its predictions
        matched with its nuclei alone, and by HoVer-Net's F1 of types. Predictions that are a
        nucleus which nobody sorted count neither for nor against a category.
    both : bool
        Score by the other way of matching as well, unless an image is too large for Eq. 13.
    """
    cases = tuple(cases)
    report = _score_by(method, cases, radius_um, categories)
    second: Method = "hungarian" if method == "gated" else "gated"
    if not both or (second == "hungarian" and any(case.is_large for case in cases)):
        return report
    return replace(report, other=_score_by(second, cases, radius_um, categories))


def _score_by(
    method: Method, cases: Sequence[DetectionCase], radius_um: float, categories: Sequence[str]
) -> DetectionReport:
    per_image = tuple(_score_image(case, radius_um, method, categories) for case in cases)
    return DetectionReport(
        sum((image.overall for image in per_image), DetectionScore()),
        {n: sum((i.by_category[n] for i in per_image), DetectionScore()) for n in categories},
        len(per_image),
        radius_um,
        method,
        {n: sum((i.by_type[n] for i in per_image), TypeScore()) for n in categories},
        per_image=per_image,
    )


def _score_image(
    case: DetectionCase, radius_um: float, method: Method, categories: Sequence[str]
) -> ImageScore:
    radius_px = radius_um / case.mpp
    matching = match_points(case.pred_xy, case.true_xy, radius_px=radius_px, method=method)
    overall = DetectionScore.of(matching)
    if case.pred_categories is None or case.true_categories is None:
        by_category = dict.fromkeys(categories, DetectionScore())
        return ImageScore(overall, by_category, dict.fromkeys(categories, TypeScore()), matching)
    pred_names = np.asarray(case.pred_categories, dtype=object)
    true_names = np.asarray(case.true_categories, dtype=object)
    on_unsorted = matching.pred_index[true_names[matching.true_index] == UNCATEGORISED]
    by_category = {}
    for name in categories:
        of_category = np.flatnonzero(pred_names == name)
        part = match_points(
            case.pred_xy[of_category],
            case.true_xy[true_names == name],
            radius_px=radius_px,
            method=method,
        )
        # On a nucleus that nobody sorted, a category is neither right nor wrong.
        spared = np.isin(of_category[~part.is_true_positive], on_unsorted).sum()
        by_category[name] = DetectionScore(part.tp, part.fp - int(spared), part.fn)
    by_type = score_types(matching, case.pred_categories, case.true_categories, categories)
    return ImageScore(overall, by_category, by_type, matching)
