"""Bootstrap intervals of the figures, by image; see `napari_nunext.core.bootstrap`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.bootstrap import LEVEL, RESAMPLES, SEED, Drawings, interval_of, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval
    from napari_nunext.core.scores.instance_scores import InstanceReport
    from napari_nunext.core.scores.matching import Method
    from napari_nunext.core.scores.metrics import DetectionReport

WORDS = (
    f"Intervals: the middle {LEVEL:.0%} of {RESAMPLES} drawings of the images with replacement "
    f"(percentile bootstrap, seed {SEED})."
)


@dataclass(frozen=True, slots=True)
class DetectionIntervals:
    """Those of one way of matching."""

    figures: Mapping[str, Interval]
    """Of ``precision``, ``recall``, ``f1``, ``mean_category_f1`` and ``mean_type_f1``."""
    by_category: Mapping[str, Interval]
    """Of the F1 of each category."""
    by_type: Mapping[str, Interval]
    """Of HoVer-Net's F1 of each type."""

    def to_json(self) -> dict[str, Any]:
        """Pairs of numbers."""
        return {
            **_json(self.figures),
            "by_category": _json(self.by_category),
            "by_type": _json(self.by_type),
        }


@dataclass(frozen=True, slots=True)
class Intervals:
    """Those of an evaluation; empty where there are fewer than two images."""

    by_matching: Mapping[Method, DetectionIntervals] = field(default_factory=dict)
    instances: Mapping[str, Interval] = field(default_factory=dict)
    """Of ``aji``, ``dq``, ``sq``, ``pq``, ``bpq`` and ``mpq``."""

    def to_json(self) -> dict[str, Any]:
        """Pairs of numbers, and how they were drawn."""
        return {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
            "drawn": "images, with replacement; percentiles",
            "by_matching": {name: part.to_json() for name, part in self.by_matching.items()},
            "instances": _json(self.instances),
        }


def intervals_of(report: DetectionReport, instances: InstanceReport | None) -> Intervals:
    """Intervals of the figures of reports that have their single images."""
    if report.images < 2:
        return Intervals()
    drawings = Drawings(report.images)
    return Intervals(
        {name: _of_detection(part, drawings) for name, part in report.by_matching.items()},
        {} if instances is None else _of_instances(instances),
    )


def _of_detection(report: DetectionReport, drawings: Drawings) -> DetectionIntervals:
    counts = [image.overall for image in report.per_image]
    tp, fp, fn = drawings.sums([(s.tp, s.fp, s.fn) for s in counts]).T
    by_category, by_type = {}, {}
    for name in report.by_category:
        scores = [image.by_category[name] for image in report.per_image]
        hits, wrong = drawings.sums([(2 * s.tp, s.fp + s.fn) for s in scores]).T
        by_category[name] = ratio(hits, hits + wrong, empty=1.0)
        types = [image.by_type[name] for image in report.per_image]
        hits, wrong = drawings.sums([(2 * s.tp, s.wrong) for s in types]).T
        by_type[name] = ratio(hits, hits + wrong, empty=1.0)
    figures = {
        "precision": ratio(tp, tp + fp, empty=1.0),
        "recall": ratio(tp, tp + fn, empty=1.0),
        "f1": ratio(2 * tp, 2 * tp + fp + fn, empty=1.0),
    }
    if by_category:
        figures["mean_category_f1"] = np.mean(list(by_category.values()), axis=0)
        figures["mean_type_f1"] = np.mean(list(by_type.values()), axis=0)
    return DetectionIntervals(_intervals(figures), _intervals(by_category), _intervals(by_type))


def _of_instances(report: InstanceReport) -> dict[str, Interval]:
    """Images that the report counts are drawn; a tissue that a drawing lacks is left out of it."""
    counted = [s for s in report.per_image if s is not None]
    if len(counted) < 2:
        return {}
    drawings = Drawings(len(counted))
    figures = {
        name: drawings.sums([getattr(s, name) for s in counted]) / len(counted)
        for name in ("aji", "dq", "sq", "pq")
    }
    figures["bpq"] = _over_tissues(drawings, [s.pq for s in counted], report.tissues)
    if report.mpq is not None:
        figures["mpq"] = _over_tissues(drawings, [s.mpq for s in counted], report.tissues)
    return _intervals(figures)


def _over_tissues(
    drawings: Drawings, values: Sequence[float | None], tissues: Sequence[str]
) -> NDArray[np.float64]:
    """Mean over tissues of the mean over their images, of each drawing; None is no value."""
    there = np.array([v is not None for v in values])
    numbers = np.array([0.0 if v is None else v for v in values])
    names = np.array(tissues)
    means = []
    for tissue in sorted(set(tissues)):
        counts = there & (names == tissue)
        total, number = drawings.sums(np.stack([numbers * counts, counts], axis=1)).T
        means.append(ratio(total, number, empty=np.nan))
    stacked = np.stack(means)
    defined = ~np.isnan(stacked)
    return ratio(np.where(defined, stacked, 0.0).sum(axis=0), defined.sum(axis=0), empty=np.nan)


def _intervals(figures: Mapping[str, NDArray[np.float64]]) -> dict[str, Interval]:
    found = {name: interval_of(values) for name, values in figures.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def _json(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: interval.to_json() for name, interval in intervals.items()}
