"""Answerers beside each other, each over several runs, on the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.evaluation.answering.kinds import MEAN, gain, names_of, score_values
from nunext_training.evaluation.scores import between
from nunext_training.evaluation.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nunext_training.evaluation.answering.kinds import Valued
    from nunext_training.evaluation.tables import Cell

FOLLOWS = ("follows_its_evidence", "follows_its_figures")
"""Figures of whether answers follow from what they go by; an answerer has one of them, or none."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """An answerer, trained so often."""

    name: str
    runs: int
    values: tuple[Valued, ...]
    """Of all runs."""
    by_run: tuple[float, ...]
    """Mean of kinds of each."""
    tokens: float
    """Image tokens of a picture."""
    follows: float | None
    """How often answers follow from what they go by."""

    @classmethod
    def of(cls, name: str, evaluations: Sequence[Mapping[str, Any]]) -> AnswerRow:
        """From what ``nunext-train ask evaluate --out`` wrote, a seed or a fold each.

        Those that `condensed` made will do.
        """
        by_run = [[*_values_of(evaluation)] for evaluation in evaluations]
        found = [
            e["figures"][figure]["value"]
            for e in evaluations
            for figure in FOLLOWS
            if figure in e["figures"]
        ]
        return cls(
            name,
            len(evaluations),
            tuple(value for values in by_run for value in values),
            tuple(score_values(values)[MEAN].value for values in by_run),
            fmean(e["figures"]["tokens_per_image"]["value"] for e in evaluations),
            fmean(found) if found else None,
        )

    def only(self, kinds: Sequence[str], group: str) -> list[Valued]:
        """The values of some kinds, all of which have to be there."""
        there = names_of(self.values, 1)
        if missing := [kind for kind in kinds if kind not in there]:
            raise InputError(
                f"{self.name} has no answers of the kind {', '.join(missing)}, which {group} asks "
                f"for; it has {', '.join(there)}."
            )
        return [value for value in self.values if value[1] in kinds]


def condensed(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation without its single answers: all that a row needs, in a hundredth of the room.

    Of each image and kind there is a mean, and of how many answers it is.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for image, kind, value in _values_of(evaluation):
        found.setdefault(image, {}).setdefault(kind, []).append(value)
    kept = ("tokens_per_image", *FOLLOWS)
    return {
        "figures": {name: f for name, f in evaluation["figures"].items() if name in kept},
        "means": {
            image: {kind: [round(fmean(values), 6), len(values)] for kind, values in kinds.items()}
            for image, kinds in found.items()
        },
    }


def _values_of(evaluation: Mapping[str, Any]) -> Iterator[Valued]:
    for image, kind, value in evaluation.get("values", ()):
        yield str(image), str(kind), float(value)
    for image, kinds in evaluation.get("means", {}).items():
        for kind, (mean, answers) in kinds.items():
            yield from [(image, kind, float(mean))] * answers


def table_of_groups(
    rows: Sequence[AnswerRow],
    groups: Mapping[str, Sequence[str]],
    beside: AnswerRow | None = None,
) -> Table:
    """A line for each answerer: the mean of the kinds of each group.

    Parameters
    ----------
    rows : sequence of AnswerRow
    groups : mapping of str to sequence of str
        Kinds by the name of their group.
    beside : AnswerRow, optional
        What the others are compared with, group by group.

    Raises
    ------
    InputError
        If a row has not all kinds of a group.
    """
    header = ["Answerer"]
    for name in groups:
        header += [name, "95 %"]
        header += [] if beside is None else [f"Beside {beside.name}", "95 % of it"]
    lines = []
    for row in rows:
        line: list[Cell] = [row.name]
        for name, kinds in groups.items():
            mine = row.only(kinds, name)
            figure = score_values(mine)[MEAN]
            line += [figure.value, between(figure.interval)]
            if beside is not None:
                found = None if row is beside else gain(mine, beside.only(kinds, name))
                line += [None, None] if found is None else [found.value, between(found.interval)]
        lines.append(tuple(line))
    return Table(None, "Groups of kinds", tuple(header), tuple(lines))


def table_of_rows(rows: Sequence[AnswerRow], beside: AnswerRow | None = None) -> Table:
    """A line for each answerer.

    Parameters
    ----------
    rows : sequence of AnswerRow
    beside : AnswerRow, optional
        What the others are compared with.

    Raises
    ------
    InputError
        If one is of other images or kinds than `beside`.
    """
    kinds = tuple(dict.fromkeys(kind for row in rows for kind in names_of(row.values, 1)))
    header = ["Answerer", "Runs", *kinds, MEAN, "95 %", "Least and most of a run"]
    header += [] if beside is None else [f"Beside {beside.name}", "95 % of it"]
    header += ["Follows", "Image tokens"]
    lines = []
    for row in rows:
        figures = score_values(row.values)
        line: list[Cell] = [row.name, str(row.runs)]
        line += [figures[kind].value if kind in figures else None for kind in kinds]
        spread = f"{min(row.by_run):.4f} to {max(row.by_run):.4f}" if row.runs > 1 else None
        line += [figures[MEAN].value, between(figures[MEAN].interval), spread]
        if beside is not None:
            found = None if row is beside else gain(row.values, beside.values)
            line += [None, None] if found is None else [found.value, between(found.interval)]
        line += [row.follows, f"{row.tokens:.1f}"]
        lines.append(tuple(line))
    return Table(None, "Answerers beside each other", tuple(header), tuple(lines))
