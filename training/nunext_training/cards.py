"""Model cards: what a checkpoint is, and what it reached beside the classical floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.evaluation import Evaluation
    from nunext_training.tables import Cell

FIGURES = "<!-- figures -->"
"""Line of a card's text that the figures replace."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set, and what a model reached on it, beside the classical one."""

    data_set: str
    split: str
    model: Evaluation
    classical: Evaluation

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint's description."""
        report, instances = self.model.report, self.model.instances
        figures: dict[str, Any] = {
            "data": [self.model.data],
            "split": self.split,
            "images_decoded": report.images,
            "radius_um": report.radius_um,
            "matching": report.method,
        }
        if not self.model.prompted_with_truth:
            overall = report.overall
            figures |= {"precision": overall.precision, "recall": overall.recall, "f1": overall.f1}
            figures["f1_classical"] = self.classical.report.overall.f1
            if report.by_category:
                figures["f1_mean_of_categories"] = report.mean_category_f1
                figures["f1_by_category"] = {n: s.f1 for n, s in report.by_category.items()}
        if instances is not None:
            figures |= {"aji": instances.aji, "dq": instances.dq, "sq": instances.sq}
            figures["pq"] = instances.pq
            if self.classical.instances is not None:
                figures["pq_classical"] = self.classical.instances.pq
        return figures


def detection_table(measured: Sequence[Measured]) -> Table:
    """One row for each data set."""
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        report = m.model.report
        rows.append(
            (
                f"{m.data_set}, {m.split}",
                str(report.images),
                str(report.overall.tp + report.overall.fn),
                report.overall.precision,
                report.overall.recall,
                report.overall.f1,
                m.classical.report.overall.f1,
            )
        )
    first = measured[0].model.report
    return Table(
        None,
        f"Detection: {first.method} matching within {first.radius_um:g} um, one to one",
        ("Data", "Images", "Nuclei", "Precision", "Recall", "F1", "F1, classical"),
        tuple(rows),
    )


def category_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set and category; None where no truth has the model's categories."""
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        report = m.model.report
        for name, score in report.by_category.items():
            nuclei = str(score.tp + score.fn)
            rows.append((f"{m.data_set}, {name}", nuclei, score.precision, score.recall, score.f1))
        if report.by_category:
            rows.append((f"{m.data_set}, mean", None, None, None, report.mean_category_f1))
    header = ("Category", "Nuclei", "Precision", "Recall", "F1")
    return Table(None, "Categories", header, tuple(rows)) if rows else None


def instance_table(measured: Sequence[Measured]) -> Table | None:
    """One row for each data set with masks."""
    rows: list[tuple[Cell, ...]] = []
    for m in measured:
        instances, floor = m.model.instances, m.classical.instances
        if instances is None:
            continue
        rows.append(
            (
                f"{m.data_set}, {m.split}",
                str(instances.images),
                instances.aji,
                instances.dq,
                instances.sq,
                instances.pq,
                None if floor is None else floor.pq,
            )
        )
    header = ("Data", "Images", "AJI", "DQ", "SQ", "PQ", "PQ, classical")
    return Table(None, "Masks: means over images", header, tuple(rows)) if rows else None


def tables_of(measured: Sequence[Measured]) -> tuple[Table, ...]:
    """The tables for which there are figures."""
    found: list[Table | None] = []
    detections = [m for m in measured if not m.model.prompted_with_truth]
    if detections:
        found += [detection_table(detections), category_table(detections)]
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
