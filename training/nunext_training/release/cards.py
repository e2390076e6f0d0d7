"""Model cards: what a checkpoint is, and what it reached beside the classical floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.evaluation.placement import Placement
from nunext_training.evaluation.reliability import Reliability
from nunext_training.evaluation.scores import between
from nunext_training.evaluation.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.scores.calibration import Calibration
    from napari_nunext.core.scores.instance_scores import InstanceReport
    from napari_nunext.core.scores.metrics import DetectionReport
    from napari_nunext.core.scores.position_error import PositionCalibration
    from nunext_training.evaluation.scores import Evaluation
    from nunext_training.evaluation.tables import Cell

FIGURES = "<!-- figures -->"
"""Line of a card's text that the figures replace."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set, and what a model reached on it, beside the classical one."""

    data_set: str
    split: str
    model: Evaluation
    classical: Evaluation
    calibration: Calibration | None = None
    """Fitted to what the model had said; its confidences here are those before."""
    position_calibration: PositionCalibration | None = None
    """The same of positions; those here are standard deviations as they were said."""

    @property
    def calibrated(self) -> Reliability | None:
        """What its confidences mean as they are served; None where it says none."""
        said = self.model.reliability
        if said is None or self.calibration is None:
            return said
        return Reliability(self.calibration.of(said.confidence), said.is_right)

    @property
    def placement(self) -> Placement | None:
        """How far off its points are said to be, as they are served; None where it says nothing."""
        said = self.model.placement
        if said is None or self.position_calibration is None:
            return None
        return Placement(self.position_calibration.of(said.said_um**2), said.distance_um)

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint's description."""
        report = self.model.report
        figures: dict[str, Any] = {
            "data": [self.model.data],
            "split": self.split,
            "images_decoded": report.images,
            "radius_um": report.radius_um,
            "matching": report.method,
            "dtype": dtype_of(self.model),
            **figures_of(self.model),
            "intervals": self.model.intervals.to_json(),
        }
        if not self.model.prompted_with_truth:
            floor = self.classical.report
            figures["f1_classical"] = floor.overall.f1
            figures["f1_classical_by_matching"] = f1_by_matching(floor)
            if report.by_category:
                figures["f1_by_category"] = {n: s.f1 for n, s in report.by_category.items()}
                figures["type_f1_by_category"] = {n: s.f1 for n, s in report.by_type.items()}
        if self.calibrated is not None:
            figures["reliability"] = self.calibrated.to_json()
            if self.calibration is not None and self.model.reliability is not None:
                figures["reliability"]["error_before"] = self.model.reliability.error
        if self.placement is not None:
            figures["placement"] = self.placement.to_json()
        if self.model.instances is not None:
            figures["points_of_masks"] = self.model.points_words
        if self.model.instances_at_centroids is not None:
            figures["pq_at_true_centroids"] = self.model.instances_at_centroids.pq
        if self.model.instances is not None and self.classical.instances is not None:
            figures["pq_classical"] = self.classical.instances.pq
        return figures


def dtype_of(evaluation: Evaluation) -> str:
    """The arithmetic of an evaluation; segmenters, which do not say, compute in float32."""
    return str(evaluation.subject.get("decoding", {}).get("dtype", "float32"))


def f1_by_matching(report: DetectionReport) -> dict[str, float]:
    """F1 of all nuclei by each way of matching that was reckoned."""
    return {method: each.overall.f1 for method, each in report.by_matching.items()}


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    """What a description states of a model itself, by name: shares from 0 to 1."""
    report, instances = evaluation.report, evaluation.instances
    figures: dict[str, Any] = {}
    if not evaluation.prompted_with_truth:
        overall = report.overall
        figures |= {"precision": overall.precision, "recall": overall.recall, "f1": overall.f1}
        figures["f1_by_matching"] = f1_by_matching(report)
        if report.mean_category_f1 is not None:
            figures["f1_mean_of_categories"] = report.mean_category_f1
    if instances is not None:
        figures |= {"aji": instances.aji, "dq": instances.dq, "sq": instances.sq}
        figures["pq"] = instances.pq
    return figures


def detection_table(measured: Sequence[Measured]) -> Table:
    """One row for each data set, with F1 by both ways of matching where there is a second."""
    first = measured[0].model.report
    second = next((m.model.report.other for m in measured if m.model.report.other), None)
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        report, floor = m.model.report, m.classical.report
        intervals = m.model.intervals.by_matching.get(report.method)
        rows.append(
            (
                f"{m.data_set}, {m.split}",
                str(report.images),
                str(report.overall.tp + report.overall.fn),
                report.overall.precision,
                report.overall.recall,
                report.overall.f1,
                between(None if intervals is None else intervals.figures["f1"]),
                *([] if second is None else [_f1(report.other)]),
                floor.overall.f1,
                *([] if second is None else [_f1(floor.other)]),
            )
        )
    f1 = [f"F1, {first.method}", "95 % interval"]
    f1 += [] if second is None else [f"F1, {second.method}"]
    classical = [f"Classical F1, {first.method}"]
    classical += [] if second is None else [f"Classical F1, {second.method}"]
    return Table(
        None,
        f"Detection: {first.method} matching within {first.radius_um:g} um, one to one, "
        f"in {dtype_of(measured[0].model)}",
        ("Data", "Images", "Nuclei", "Precision", "Recall", *f1, *classical),
        tuple(rows),
    )


def _f1(report: DetectionReport | None) -> float | None:
    return None if report is None else report.overall.f1


def category_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set and category; None where no truth has the model's categories."""
    rows: list[tuple[Cell, ...]] = []
    methods = dict.fromkeys(name for m in measured for name in m.model.report.by_matching)
    for m in measured:
        report, by_matching = m.model.report, m.model.report.by_matching
        for name, score in report.by_category.items():
            f1 = [
                by_matching[n].by_category[name].f1 if n in by_matching else None for n in methods
            ]
            nuclei = str(score.tp + score.fn)
            rows.append(
                (
                    *(f"{m.data_set}, {name}", nuclei, score.precision, score.recall),
                    *f1,
                    report.by_type[name].f1,
                )
            )
        if report.by_category:
            means = [by_matching[n].mean_category_f1 if n in by_matching else None for n in methods]
            rows.append((f"{m.data_set}, mean", None, None, None, *means, report.mean_type_f1))
    columns = [f"F1, {name}" for name in methods]
    header = ("Category", "Nuclei", "Precision", "Recall", *columns, "Type F1")
    return Table(None, "Categories", header, tuple(rows)) if rows else None


def instance_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set with masks; its title says at which points they were drawn."""
    with_alone = any(m.model.instances_at_centroids is not None for m in measured)
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        instances, floor = m.model.instances, m.classical.instances
        if instances is None:
            continue
        alone = (m.model.instances_at_centroids, m.classical.instances_at_centroids)
        rows.append(
            (
                f"{m.data_set}, {m.split}",
                str(instances.images),
                instances.aji,
                instances.dq,
                instances.sq,
                instances.pq,
                between(m.model.intervals.instances.get("pq")),
                _pq(floor),
                *(_pq(part) for part in alone if with_alone),
            )
        )
    if not rows:
        return None
    title = f"Masks {measured[0].model.points_words}: means over images"
    header = ["Data", "Images", "AJI", "DQ", "SQ", "PQ", "95 % interval", "PQ, classical"]
    header += ["PQ at true centroids", "the same, classical"] if with_alone else []
    return Table(None, title, tuple(header), tuple(rows))


def reliability_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set: what confidences say, and what is right."""
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        before, served = m.model.reliability, m.calibrated
        if before is not None and served is not None:
            rows.append(
                (
                    *(f"{m.data_set}, {m.split}", str(len(served.confidence))),
                    float(served.confidence.mean()),
                    float(served.is_right.mean()),
                    served.error,
                    None if m.calibration is None else before.error,
                )
            )
    header = (
        *("Data", "Points", "Mean confidence", "Right"),
        *("Calibration error", "before it was calibrated"),
    )
    return Table(None, "Confidence", header, tuple(rows)) if rows else None


def placement_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set: how far off points are said to be, and are."""
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        if m.placement is not None:
            told = m.placement.to_json()
            figures = [told[name] for name in ("said_um", "real_um")]
            figures += [told["position_calibration_error_um"], told["rank_correlation"]]
            rows.append((f"{m.data_set}, {m.split}", str(told["points"]), *figures))
    header = ("Data", "Points that match", "Said", "Real", "Calibration error", "Rank correlation")
    title = "Position error: root mean square, um"
    return Table(None, title, header, tuple(rows)) if rows else None


def _pq(report: InstanceReport | None) -> float | None:
    return None if report is None else report.pq


def tables_of(measured: Sequence[Measured]) -> tuple[Table, ...]:
    """The tables for which there are figures."""
    found: list[Table | None] = []
    detections = [m for m in measured if not m.model.prompted_with_truth]
    if detections:
        found += [detection_table(detections), category_table(detections)]
        found += [reliability_table(detections), placement_table(detections)]
    found.append(instance_table(measured))
    return tuple(table for table in found if table is not None)


def model_card(text: str, measured: Sequence[Measured]) -> str:
    """The card: `text` with the figures in the place of its line `FIGURES`.

    Raises
    ------
    InputError
        If that line is not there exactly once.
    """
    if text.splitlines().count(FIGURES) != 1:
        raise InputError(
            f"The text of a model card says once where its figures belong; expected one line "
            f"{FIGURES!r}."
        )
    figures = "\n".join(table.to_markdown() for table in tables_of(measured))
    return text.replace(FIGURES, figures.rstrip("\n"))
