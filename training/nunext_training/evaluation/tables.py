"""The figures of an evaluation in the layout of NuNext's Tables 1 to 5.

Each table has one row for each evaluation (Table 1: a pair of columns), as the paper has one for
each method, so that rows can be put beside the paper's. Figures that were not measured are None.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, TypeAlias

from nunext_training.evaluation.scores import VALIDATION_MATCHING, between
from nunext_training.method.modules import MODULES, modules_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.scores.metrics import DetectionReport
    from nunext_training.evaluation.scores import Evaluation

Cell: TypeAlias = str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title; the first column names the row."""

    number: int | None
    """The paper's table whose layout it has."""
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "layout_of_table": self.number,
            "title": self.title,
            "header": list(self.header),
            "rows": [list(row) for row in self.rows],
        }

    def to_markdown(self) -> str:
        """A table of Markdown under its title."""
        lines = [self.header, ("---",) + ("---:",) * (len(self.header) - 1)]
        lines += [tuple(cell_text(cell) for cell in row) for row in self.rows]
        body = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        return f"### {self.title}\n\n{body}\n"


def cell_text(cell: Cell) -> str:
    """Figures with four decimals, as the paper's; a dash for what is not there."""
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:.4f}"


def detection_table(evaluation: Evaluation, method: str) -> Table:
    """Precision, recall and F1: not a table of the paper's, but what all of them stand on.

    F1 by the other way of matching stands beside it, and HoVer-Net's of each type.
    """
    report, other = evaluation.report, evaluation.report.other
    intervals = evaluation.intervals.by_matching.get(report.method)
    header = ["Nuclei", "Precision", "Recall", f"F1, {report.method}", "95 % interval"]
    header += ["tp", "fp", "fn"]
    header += [] if other is None else [f"F1, {other.method}"]
    header += ["Type F1"] if report.by_type else []
    rows = []
    for name, s in [(None, report.overall), *report.by_category.items()]:
        found = None
        if intervals is not None:
            found = intervals.by_category[name] if name else intervals.figures["f1"]
        counts = (str(s.tp), str(s.fp), str(s.fn))
        row: list[Cell] = [name or "all nuclei", s.precision, s.recall, s.f1, between(found)]
        row += counts
        if other is not None:
            row.append((other.by_category[name] if name else other.overall).f1)
        if report.by_type:
            row.append(report.by_type[name].f1 if name else None)
        rows.append(tuple(row))
    title = f"Detection by {method}: {report.method} matching within {report.radius_um:g} um"
    return Table(None, title, tuple(header), tuple(rows))


def tables(evaluation: Evaluation, *, method: str, data_set: str) -> tuple[Table, ...]:
    """The tables for which the evaluation has figures.

    Parameters
    ----------
    evaluation : Evaluation
    method : str
        Name of what was evaluated.
    data_set : str
        Name of what it was evaluated on.
    """
    found = [detection_table(evaluation, method)]
    instances, report = evaluation.instances, evaluation.report
    if instances is not None:
        rows: list[tuple[Cell, ...]] = [
            (tissue, score.bpq, score.mpq) for tissue, score in instances.by_tissue.items()
        ]
        found.append(
            Table(
                1,
                "bPQ and mPQ of each tissue (layout of Table 1)",
                ("Tissue", f"{method} bPQ", f"{method} mPQ"),
                (*rows, ("Average", instances.bpq, instances.mpq)),
            )
        )
    if report.by_category:
        pq = {} if instances is None else instances.pq_by_category
        names = list(report.by_category)
        cells: list[Cell] = []
        for name in names:
            cells += [report.by_category[name].f1, pq.get(name)]
        found.append(
            Table(
                2,
                f"F1 ({report.method}) and PQ of each category (layout of Table 2)",
                ("Method", *(f"{name} {figure}" for name in names for figure in ("F1", "PQ"))),
                ((method, *cells),),
            )
        )
    if instances is not None:
        found.append(
            Table(
                3,
                f"Instances on {data_set}, masks {evaluation.points_words} "
                "(layout of Tables 3 and 4)",
                ("Method", *(f"{data_set} {figure}" for figure in ("AJI", "DQ", "SQ", "PQ"))),
                tuple(
                    (name, part.aji, part.dq, part.sq, part.pq)
                    for name, part in (
                        (method, instances),
                        ("masks at true centroids", evaluation.instances_at_centroids),
                    )
                    if part is not None
                ),
            )
        )
    modules = modules_of(evaluation.subject.get("provenance"))
    if modules is not None:
        found.append(ablation_table([(modules, report)]))
    return tuple(found)


def ablation_table(rows: Sequence[tuple[Sequence[str], DetectionReport]]) -> Table:
    """Table 5: which of the modules were on, and the F1 by each way of matching."""
    methods = list(dict.fromkeys(name for _, report in rows for name in report.by_matching))
    f1 = [
        [report.by_matching[m].overall.f1 if m in report.by_matching else None for m in methods]
        for _, report in rows
    ]
    return _table_5(
        *(f"F1, {name}" for name in methods),
        rows=[(on, tuple(values)) for (on, _), values in zip(rows, f1, strict=True)],
    )


@dataclass(frozen=True, slots=True)
class AblationRow:
    """A row of Table 5 that was run with several seeds."""

    modules: tuple[str, ...]
    f1: tuple[float, ...]
    """One for each seed."""
    gains: tuple[float, ...]
    """F1 above that of the row that it is compared with, one for each seed."""
    published: float
    """The paper's F1, at its own size and on its own data."""
    published_gain: float | None
    f1_hungarian: tuple[float, ...] = ()
    """By the other way of matching, one for each seed; empty where it was not measured."""
    gains_hungarian: tuple[float, ...] = ()
    """Of these, likewise."""


def seeds_table(rows: Sequence[AblationRow]) -> Table:
    """Table 5 with mean, deviation and number of the seeds.

    Deviations are those of samples (n - 1); one seed has none.
    """
    return _table_5(
        *(f"F1, {VALIDATION_MATCHING}", "sd", "n", "gain", "sd of gain"),
        *("F1, hungarian", "gain, hungarian", "sd of gain, hungarian"),
        *("paper's F1", "paper's gain"),
        rows=[
            (
                row.modules,
                (
                    *_mean_and_sd(row.f1),
                    str(len(row.f1)),
                    *_mean_and_sd(row.gains),
                    fmean(row.f1_hungarian) if row.f1_hungarian else None,
                    *_mean_and_sd(row.gains_hungarian),
                    row.published,
                    row.published_gain,
                ),
            )
            for row in rows
        ],
    )


def _table_5(*figures: str, rows: Sequence[tuple[Sequence[str], tuple[Cell, ...]]]) -> Table:
    return Table(
        5,
        "Effect of the modules (layout of Table 5)",
        ("Run", *MODULES, *figures),
        tuple(
            (str(i), *("yes" if name in on else "" for name in MODULES), *cells)
            for i, (on, cells) in enumerate(rows, start=1)
        ),
    )


def _mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (fmean(values) if values else None, stdev(values) if len(values) > 1 else None)
