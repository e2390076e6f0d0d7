"""What happened in training runs, as figures, tables and plots over their steps.

Everything is read from the ``metrics.jsonl`` that a run keeps while it trains and a checkpoint
carries when it is complete: figures of every step, and of every validation.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_nunext.core.errors import InputError
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.evaluation.tables import Table
from nunext_training.reports.drawings import Axis, plot
from nunext_training.reports.pages import html_table, markdown, page
from nunext_training.runs.files import write_json, write_text
from nunext_training.runs.folder import RunFolder, first_and_last

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nunext_training.evaluation.tables import Cell

Series: TypeAlias = "list[tuple[int, float]]"
"""Steps and a figure at each, in their order."""

PLOTS = {
    "loss": "Loss",
    "covt_loss": "Loss of visual thought (Eq. 9)",
    "reward": "Reward",
    "f1": f"F1 of whole images, {VALIDATION_MATCHING}",
    "pq": "PQ of whole images",
    "filtered_groups": "Share of groups filtered out",
    "reward_std": "Deviation of rewards within a group",
    "failed_format": "Share of replies that failed the format check",
    "verdicts": "Rollouts of people in a step",
    "reply_tokens": "Tokens of a reply",
    "entropy": "Entropy of a token, nats",
    "learning_rate": "Learning rate",
}
"""Figures that are drawn, and what they are called."""

POINTS = 200
"""Most points of a plot; longer series are averaged."""


@dataclass(frozen=True, eq=False, slots=True)
class RunCurves:
    """Figures of a run over its steps."""

    name: str
    steps: dict[str, Series]
    """Of training."""
    validations: dict[str, Series]

    @property
    def by_rewards(self) -> bool:
        """Whether it was trained for rewards; the loss is then only minus that."""
        return "reward" in self.steps

    def to_json(self) -> dict[str, Any]:
        """First and last figures, and every series."""
        return {
            "name": self.name,
            "training": {name: _smoothed_ends(series) for name, series in self.steps.items()},
            "validation": {
                name: {"first": series[0][1], "last": series[-1][1]}
                for name, series in self.validations.items()
            },
            "series": {"training": self.steps, "validation": self.validations},
        }


def _smoothed_ends(series: Series) -> dict[str, float]:
    first, last = first_and_last([value for _, value in series])
    return {"first": first, "last": last}


def read_run(folder: Path) -> RunCurves:
    """Read a checkpoint, the working folder of a run, or the name that its checkpoint will have.

    Raises
    ------
    InputError
        If there are no metrics, or a line of them is none; names it.
    """
    working = (
        folder.parent / f"{folder.name}.training"
    )  # also of a folder without a name, such as /
    path = next(
        (p for f in (folder, working) if (p := RunFolder(f, folder).metrics_path).is_file()), None
    )
    if path is None:
        raise InputError(
            f"{folder} has no metrics.jsonl, and there is no {working.name} beside it. Name the "
            "folder of a checkpoint that was trained here, or of its run."
        )
    steps: dict[str, Series] = {}
    validations: dict[str, Series] = {}
    for entry in _entries(path):
        into = steps if entry["event"] == "step" else validations
        figures = {k: v for k, v in entry.items() if k not in ("event", "step") and v is not None}
        if "kept_groups" in figures:
            figures["filtered_groups"] = 1 - figures.pop("kept_groups")
        for name, value in figures.items():
            into.setdefault(name, []).append((entry["step"], value))
    if not steps:
        raise InputError(f"{path} has no step yet. Wait for the first, and ask again.")
    return RunCurves(folder.name.removesuffix(".training"), steps, validations)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of metrics; a last one that is still being written is passed over."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(True), start=1):
        if not line.endswith("\n"):
            return
        try:
            entry = json.loads(line)
            event, step = entry["event"], int(entry["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path.name} line {number} is no entry of metrics.") from error
        yield entry | {"event": event, "step": step}


def write_curves(runs: Sequence[RunCurves], folder: Path) -> None:
    """Write ``report.json``, ``report.md`` and ``report.html`` of runs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    title = "Training of " + ", ".join(run.name for run in runs)
    notes = [
        "First and last are means over a tenth of the steps, at most 20; of validations, the first "
        "and the last themselves.",
        "Plots: blue is training, each point a mean of neighbouring steps where there are many; "
        "red diamonds are validation.",
    ]
    if any(run.by_rewards for run in runs):
        notes.append(
            "Rewards in training are those of sampled replies to training windows; in validation, "
            "of likeliest replies to held-out windows. The two are not to be compared."
        )
    table = runs_table(runs)
    write_json(folder / "report.json", {"runs": [r.to_json() for r in runs]} | table.to_json())
    write_text(folder / "report.md", markdown(title, notes, [table]))
    parts = [html_table(table)]
    for run in runs:
        plots = "".join(_plot(run, name) for name in PLOTS if name in _drawn(run))
        parts.append(f'<h3>{escape(run.name)}</h3><div class="plots">{plots}</div>')
    write_text(folder / "report.html", page(title, notes, parts))


def runs_table(runs: Sequence[RunCurves]) -> Table:
    """A row for each run; what it did not measure is left blank."""
    names = ("loss", "reward", "filtered_groups")
    validated = ("loss", "reward", "f1", "pq")
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        cells: list[Cell] = [run.name, str(max(step for step, _ in run.steps["loss"]))]
        for name in names:
            values = [value for _, value in run.steps.get(name, [])]
            cells += first_and_last(values) if values else (None, None)
        for name in validated:
            series = run.validations.get(name, [])
            cells += (series[0][1], series[-1][1]) if series else (None, None)
        rows.append(tuple(cells))
    figures = [name.replace("_", " ") for name in names]
    figures += [f"validation {'f1, ' + VALIDATION_MATCHING if n == 'f1' else n}" for n in validated]
    header = ("Run", "Steps", *(f"{f} {end}" for f in figures for end in ("first", "last")))
    kept = [i for i in range(len(header)) if any(row[i] is not None for row in rows)]
    return Table(
        None,
        "Runs",
        tuple(header[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
    )


def _drawn(run: RunCurves) -> set[str]:
    """The loss of a run by rewards is minus the reward: that is drawn."""
    return (run.steps.keys() | run.validations.keys()) - ({"loss"} if run.by_rewards else set())


def _plot(run: RunCurves, name: str) -> str:
    points = averaged(run.steps.get(name, []))
    marks = [(float(step), value) for step, value in run.validations.get(name, [])]
    everything = [*points, *marks]
    return plot(
        PLOTS[name],
        Axis("step", 0.0, max(step for step, _ in everything)),
        _axis(name.replace("_", " "), [value for _, value in everything]),
        points,
        line=True,
        diagonal=False,
        marks=marks,
    )


def averaged(series: Series) -> list[tuple[float, float]]:
    """A series of at most `POINTS` points: means of as many neighbours as that takes."""
    size = max(1, math.ceil(len(series) / POINTS))
    groups = [series[start : start + size] for start in range(0, len(series), size)]
    return [
        (sum(step for step, _ in g) / len(g), sum(value for _, value in g) / len(g)) for g in groups
    ]


def _axis(name: str, values: Sequence[float]) -> Axis:
    """An axis whose ends are round numbers."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    unit = 10.0 ** math.floor(math.log10(high - low))
    step = unit if (high - low) / unit >= 4 else unit / 4
    return Axis(name, math.floor(low / step) * step, math.ceil(high / step) * step)
