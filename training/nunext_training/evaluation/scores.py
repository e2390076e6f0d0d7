"""What an evaluation found, in numbers and in words.

Every result says of what it is, on which split, with which arithmetic and by which matching:
figures without that cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nunext_training.evaluation.intervals import WORDS as INTERVAL_WORDS
from nunext_training.evaluation.intervals import Intervals

if TYPE_CHECKING:
    from napari_nunext.core.bootstrap import Interval
    from napari_nunext.core.scores.instance_scores import InstanceReport
    from napari_nunext.core.scores.matching import Method
    from napari_nunext.core.scores.metrics import DetectionReport
    from nunext_training.evaluation.placement import Placement
    from nunext_training.evaluation.predictions import Outcome
    from nunext_training.evaluation.reliability import Reliability

TRUE_CENTROIDS = "centroids"
"""In place of a detector: the truth's own points."""

VALIDATION_MATCHING: Method = "gated"
"""How the F1 of validation during training is matched."""

MATCHINGS = {"gated": "gated", "hungarian": "hungarian (NuNext, Eq. 13)"}
"""What the ways of matching are called in words."""

TYPES_WORDS = (
    "F1 of a category matches its predictions with its nuclei alone; type F1 is HoVer-Net's: all "
    "nuclei are matched first, and a wrong type weighs twice."
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and what they are scores of."""

    subject: dict[str, Any]
    """What was evaluated: a model with its hash, or a folder of predictions."""
    data: dict[str, Any]
    report: DetectionReport
    intervals: Intervals = field(default_factory=Intervals)
    notes: tuple[str, ...] = field(default=())
    """What a reader of the figures must know; names no image."""
    instances: InstanceReport | None = None
    """None where the truth or the predictions have no masks."""
    outcomes: tuple[Outcome, ...] = ()
    """In the order of the images."""
    without_predictions: tuple[str, ...] = ()
    """Names of images that count as empty."""
    iou_by_clicks: tuple[float, ...] = ()
    """Mean IoU after no, one, ... corrections of each outline; empty where it was not asked for."""
    instances_at_centroids: InstanceReport | None = None
    """What the segmenter that drew `instances` draws at the true centroids."""
    reliability: Reliability | None = None
    """What confidences mean; None where there are none."""
    placement: Placement | None = None
    """How far off points are said to be and are; None where nobody says."""

    @property
    def prompted_with_truth(self) -> bool:
        """Whether a segmenter alone was evaluated: the points were given, not found."""
        return self.subject.get("model") == TRUE_CENTROIDS

    @property
    def points_words(self) -> str:
        """At which points masks were drawn: figures of instances say so."""
        return "at true centroids" if self.prompted_with_truth else "end to end"

    @property
    def facts(self) -> tuple[str, ...]:
        """What the figures are of and how they came about, a sentence or two each."""
        facts = [
            f"{self.report.images} images; {self.report.method} matching within "
            f"{self.report.radius_um:g} um, one to one. Figures of detection pool the nuclei of "
            "all images.",
            self._split_words(),
            self._subject_words(),
        ]
        if self.report.other is not None:
            f1 = [
                f"{report.overall.f1:.4f} {MATCHINGS[method]}"
                for method, report in self.report.by_matching.items()
            ]
            facts.append(f"F1 of all nuclei: {', '.join(f1)}.")
        if self.report.by_type:
            facts.append(TYPES_WORDS)
        if self.intervals.by_matching:
            facts.append(INTERVAL_WORDS)
        if self.reliability is not None:
            facts.append(self.reliability.words)
        if self.placement is not None:
            facts.append(self.placement.words)
        return tuple(fact for fact in facts if fact)

    def to_json(self) -> dict[str, Any]:
        """Everything but the single images, for a report; names none of them."""
        instances = None if self.instances is None else self.instances.to_json()
        alone = self.instances_at_centroids
        return {
            "subject": self.subject,
            "data": self.data,
            **self.report.to_json(),
            "instances": instances and {"points": self.points_words, **instances},
            "instances_at_true_centroids": alone and alone.to_json(),
            "intervals": self.intervals.to_json(),
            "iou_by_clicks": list(self.iou_by_clicks),
            "notes": list(self.notes),
            "reliability": None if self.reliability is None else self.reliability.to_json(),
            "placement": None if self.placement is None else self.placement.to_json(),
            "images_without_predictions": len(self.without_predictions),
        }

    def table(self) -> str:
        """The figures for people."""
        lines = [*self._rows(), *self._means()]
        if self.instances is not None:
            lines += self._instance_lines(self.instances)
        if self.iou_by_clicks:
            means = ", ".join(f"{iou:.4f}" for iou in self.iou_by_clicks)
            lines.append(f"Mean IoU after 0 to {len(self.iou_by_clicks) - 1} clicks: {means}")
        lines += self.facts
        if self.without_predictions:
            names = ", ".join(self.without_predictions)
            lines.append(
                f"{len(self.without_predictions)} images have no predictions and count as empty: "
                f"{names}."
            )
        return "\n".join([*lines, *self.notes])

    def _rows(self) -> list[str]:
        report, other = self.report, self.report.other
        intervals = self.intervals.by_matching.get(report.method)
        rows = [("all nuclei", report.overall), *report.by_category.items()]
        width = max(len(name) for name, _ in rows)
        head = (
            f"{'':{width}}  precision  recall     F1  {'95 % interval':16}      tp      fp      fn"
        )
        if other is not None:
            head += f"  F1 {other.method}"
        if report.by_type:
            head += "  type F1"
        lines = [head]
        for i, (name, s) in enumerate(rows):
            found = None
            if intervals is not None:
                found = intervals.by_category[name] if i else intervals.figures["f1"]
            line = (
                f"{name:{width}}  {s.precision:9.4f}  {s.recall:6.4f} {s.f1:6.4f}"
                f"  {between(found):16} {s.tp:7d} {s.fp:7d} {s.fn:7d}"
            )
            if other is not None:
                f1 = (other.overall if i == 0 else other.by_category[name]).f1
                line += f"  {f1:{len(other.method) + 3}.4f}"
            if i and report.by_type:
                line += f"  {report.by_type[name].f1:7.4f}"
            lines.append(line)
        return lines

    def _means(self) -> list[str]:
        report = self.report
        if report.mean_category_f1 is None:
            return []
        words = [f"{report.mean_category_f1:.4f} {report.method}"]
        if report.other is not None:
            words.append(f"{report.other.mean_category_f1:.4f} {report.other.method}")
        means = [f"Mean F1 of the categories: {', '.join(words)}"]
        if report.mean_type_f1 is not None:
            means.append(f"Mean type F1: {report.mean_type_f1:.4f} {report.method}")
        return means

    def _instance_lines(self, report: InstanceReport) -> list[str]:
        names = ("aji", "dq", "sq", "pq", "bpq", "mpq")
        figures = {name: getattr(report, name) for name in names}
        words = {"aji": "AJI", "dq": "DQ", "sq": "SQ", "pq": "PQ", "bpq": "bPQ", "mpq": "mPQ"}
        lines = [
            f"Instances ({report.images} images, {len(report.by_tissue)} tissues): "
            + ", ".join(f"{words[n]} {v:.4f}" for n, v in figures.items() if v is not None)
            + f"; masks {self.points_words}."
        ]
        found = {n: i for n, i in self.intervals.instances.items() if n in ("aji", "pq", "mpq")}
        if found:
            lines.append(
                "95 % intervals: "
                + ", ".join(f"{words[name]} {between(i)}" for name, i in found.items())
            )
        alone = self.instances_at_centroids
        if alone is not None:
            lines.append(
                f"PQ {report.pq:.4f} end to end, {alone.pq:.4f} with masks at true centroids."
            )
        return lines

    def _split_words(self) -> str:
        split = self.data.get("split")
        if split is None:
            return ""
        parts = self.data.get("images_by_split", {})
        of = ", ".join(f"{name} {count}" for name, count in parts.items())
        words = f"Split: {split}" + (f" ({of})." if len(parts) > 1 else ".")
        if "train" in parts:
            words += " Training images are among them: they flatter a model that learned from them."
        return words

    def _subject_words(self) -> str:
        subject = self.subject
        words = []
        if "model" in subject and not self.prompted_with_truth:
            decoding = subject.get("decoding") or {}
            words.append(f"Model: {_named(subject['model'], subject.get('checkpoint_sha256'))}")
            if "dtype" in decoding:
                words[0] += f", arithmetic in {decoding['dtype']} on {decoding.get('device')}"
        if "predictions" in subject:
            words.append(f"Predictions: files for {subject['predictions']} images")
        if "segmenter" in subject:
            s = subject["segmenter"]
            words.append(f"Masks by {_named(s['name'], s['checkpoint_sha256'])}")
        return ". ".join(words) + "." if words else ""


def _named(name: str, sha256: str | None) -> str:
    return name if sha256 is None else f"{name} (SHA-256 {sha256[:16]})"


def between(interval: Interval | None) -> str:
    """``0.8512 to 0.8934``; a dash where there is none."""
    return "-" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"
