"""Evaluations in the layout of Tables 1 to 6 of "Bilateral pathology reasoning" (arXiv 2505.15687).

A row is a method, with what was measured of it. What was not is None, which is shown as a dash. The
units are the paper's: percent but for BLEU, and image tokens of a picture (TPI).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_nunext.core.bootstrap import Interval
from napari_nunext.core.errors import MALFORMED, InputError
from nunext_training.evaluation.answering.answer_scores import IOUS, Figure
from nunext_training.evaluation.answering.whole_set import COCO_MAP
from nunext_training.evaluation.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nunext_training.evaluation.tables import Cell

    Figures: TypeAlias = Mapping[str, Figure]

SUBSETS = ("PubMed", "EduContent", "Atlas", "PathCLS")
"""Of PathMMU, in the order of Tables 1 and 6."""
SUBTYPES = {"unitopatho": "UniToPatho", "esca": "ESCA"}
LESIONS = {
    "digestpath": ("DigestPath2019 Tissue", 4),
    "crag": ("CRAG", 5),
    "glomeruli": ("glomeruli (not in the paper)", 4),
}
"""By importer, with the number of the table whose layout they have."""
SETS = ("pathmmu", "pathvqa", *SUBTYPES, *LESIONS)
"""Sets that the tables are of, by the names of their importers."""
_SHOWN_FIRST = ("test", "val", "train")

NOTES = (
    "A dash stands for what was not measured; no figure is the paper's.",
    "TPI is the mean over all questions that a row has in a table.",
    "Reasoning: whether most replies have a thought; points, where nuclei are read before the "
    "question.",
    "BLEU is sentence BLEU-4 with exponential smoothing and effective order, of open questions "
    "whose answer is no number (ours: the paper does not say).",
    "By picture: average precision of each picture, boxes in the order written, averaged over "
    "pictures (ours). Whole set: COCO's, by pycocotools, all boxes with the same score, in the "
    "order written, picture after picture; it has no interval.",
    "Of several runs there is the mean, and from the least to the most of them.",
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured on a split of a data set."""

    data_set: str
    split: str
    budget: str
    """Image tokens that were allowed, in words."""
    figures: Figures
    subsets: Mapping[str, Figures]
    """By the folded name of a part of the set."""
    reads_nuclei: bool

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], name: str) -> Evaluated:
        """From what ``nunext-train ask evaluate --out`` wrote into the file `name`.

        Raises
        ------
        InputError
            If it is not of one of the sets that the tables are of.
        """
        try:
            return cls._read(evaluation, name)
        except MALFORMED as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{name} has no figures of answers ({error!r}). Make it again with nunext-train "
                "ask evaluate --out."
            ) from error

    @classmethod
    def _read(cls, evaluation: Mapping[str, Any], name: str) -> Evaluated:
        sets = {str(each.get("imported_from")) for each in evaluation["data"]}
        if len(sets) != 1 or not sets <= {*SETS}:
            found = ", ".join(sorted(sets - {"None"})) or "no published set that it names"
            raise InputError(
                f"{name} is of {found}; expected one of {', '.join(SETS)}. Evaluate on the export "
                "of one set that nunext-train import made. nunext-train ask rows compares answers "
                "to other questions."
            )
        # Rules have no budget.
        budget = f"{evaluation.get('budget') or 'no'} image tokens"
        return cls(
            sets.pop(),
            str(evaluation["split"]),
            f"up to {budget}, as an allocator chose" if evaluation.get("allocation") else budget,
            _figures(evaluation["figures"]),
            {
                subset.casefold(): _figures(figures)
                for subset, figures in evaluation.get("subsets", {}).items()
            },
            evaluation.get("evidence", "none") != "none",
        )


@dataclass(frozen=True, slots=True)
class MethodRow:
    """A method with all its evaluations; several of one data set and split are its runs.

    Raises
    ------
    InputError
        If runs had different budgets.
    """

    name: str
    evaluations: tuple[Evaluated, ...]

    def __post_init__(self) -> None:
        budgets: dict[tuple[str, str], dict[str, None]] = {}
        for each in self.evaluations:
            budgets.setdefault((each.data_set, each.split), {})[each.budget] = None
        for (data_set, split), found in budgets.items():
            if len(found) > 1:
                raise InputError(
                    f"{self.name} has {data_set}, {split}, at {' and at '.join(found)}; expected "
                    "one budget in a row. Give budgets as --budgets, a row each."
                )

    def runs(self, data_set: str, *splits: str) -> list[Evaluated]:
        """The evaluations on some splits of a data set."""
        return [e for e in self.evaluations if e.data_set == data_set and e.split in splits]


def paper_tables(methods: Sequence[MethodRow], budgets: Sequence[MethodRow] = ()) -> list[Table]:
    """The tables for which there are figures.

    Parameters
    ----------
    methods : sequence of MethodRow
        Rows of Tables 1 to 5.
    budgets : sequence of MethodRow
        Rows of Table 6: one performer at fixed budgets, and with its allocator.
    """
    tables = [_pathmmu(1, "Answers to PathMMU", methods), _pathvqa(methods), _subtypes(methods)]
    tables += [_lesions(methods, data_set) for data_set in LESIONS]
    tables.append(_pathmmu(6, "Image tokens on PathMMU", budgets))
    return [table for table in tables if table.rows]


@dataclass(frozen=True, slots=True)
class _Column:
    """One or two columns of a table: a figure, and its interval."""

    header: str
    figure: str
    data_set: str
    split: str
    unit: Literal["percent", "share"] = "percent"
    subset: str | None = None
    interval: bool = True

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.header, "95 %") if self.interval else (self.header,)

    def cells(self, row: MethodRow) -> list[Cell]:
        runs = row.runs(self.data_set, self.split)
        of = [each.figures if self.subset is None else self._of_subset(each) for each in runs]
        found = [figures[self.figure] for figures in of if self.figure in figures]
        if not found:
            return [None] * len(self.headers)
        values = [each.value for each in found]
        between, runs_told = found[0].interval, ""
        if len(found) > 1:
            between, runs_told = Interval(min(values), max(values)), f" ({len(found)} runs)"
        spread = None
        if between is not None:
            spread = f"{self._said(between.low)} to {self._said(between.high)}{runs_told}"
        value = self._said(fmean(values))
        return [value, spread] if self.interval else [value]

    def _of_subset(self, evaluated: Evaluated) -> Figures:
        return evaluated.subsets.get((self.subset or "").casefold(), {})

    def _said(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.unit == "percent" else f"{value:.3f}"


def _pathmmu(number: int, title: str, methods: Sequence[MethodRow]) -> Table:
    parts = [("Overall", None), *((subset, subset) for subset in SUBSETS)]
    columns: list[_Column | _Tokens] = [
        _Column(f"{name} {split}", "closed_accuracy", "pathmmu", split.casefold(), subset=subset)
        for name, subset in parts
        for split in ("Test", "Val")
    ]
    tokens = _Tokens("TPI", "pathmmu", ("test", "val"))
    return _table(number, f"{title} (layout of Table {number})", [*columns, tokens], methods)


def _pathvqa(methods: Sequence[MethodRow]) -> Table:
    split = _shown_split(methods, "pathvqa")
    columns: list[_Column | _Tokens] = [
        _Column("ACC (Close)", "closed_accuracy", "pathvqa", split),
        _Column("BLEU (Open)", "open_bleu", "pathvqa", split, "share"),
        _Tokens("TPI", "pathvqa", (split,)),
    ]
    return _table(2, f"Answers to PathVQA, {split} split (layout of Table 2)", columns, methods)


def _subtypes(methods: Sequence[MethodRow]) -> Table:
    columns: list[_Column | _Tokens] = []
    there = []
    for data_set, name in SUBTYPES.items():
        split = _shown_split(methods, data_set)
        columns += [
            _Column(f"{name} Bal-ACC", "subtype_balanced_accuracy", data_set, split),
            _Column(f"{name} W-F1", "subtype_weighted_f1", data_set, split),
            _Tokens(f"{name} TPI", data_set, (split,)),
        ]
        there += [f"{split} split of {name}"] * any(row.runs(data_set, split) for row in methods)
    title = f"Subtypes, {' and '.join(there)} (layout of Table 3)"
    return _table(3, title, columns, methods)


def _lesions(methods: Sequence[MethodRow], data_set: str) -> Table:
    name, number = LESIONS[data_set]
    split = _shown_split(methods, data_set)
    at: list[tuple[str, str]] = [(f"@{iou}", f"_{iou}") for iou in IOUS]
    columns: list[_Column | _Tokens] = [
        _Column(f"{header} by picture", f"map{suffix}", data_set, split)
        for header, suffix in [*((f"mAP{iou}", suffix) for iou, suffix in at), ("AVG", "")]
    ]
    columns += [
        _Column(f"{header} whole set", f"{COCO_MAP}{suffix}", data_set, split, interval=False)
        for header, suffix in [*((f"AP{iou}", suffix) for iou, suffix in at), ("AVG", "")]
    ]
    columns.append(_Tokens("TPI", data_set, (split,)))
    title = f"Lesions of {name}, {split} split (layout of Table {number})"
    return _table(number, title, columns, methods)


def _shown_split(methods: Iterable[MethodRow], data_set: str) -> str:
    """Rows beside each other are of one split."""
    there = {run.split for row in methods for run in row.runs(data_set, *_SHOWN_FIRST)}
    return next((split for split in _SHOWN_FIRST if split in there), _SHOWN_FIRST[0])


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The column of image tokens."""

    header: str
    data_set: str
    splits: tuple[str, ...]

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.header,)

    def runs(self, row: MethodRow) -> list[Evaluated]:
        return row.runs(self.data_set, *self.splits)

    def cells(self, row: MethodRow) -> list[Cell]:
        found = _mean_over_answers(self.runs(row), "tokens_per_image")
        # A rule looks at no picture.
        return [f"{found:.1f}" if found else None]


def _table(
    number: int, title: str, columns: Sequence[_Column | _Tokens], methods: Sequence[MethodRow]
) -> Table:
    header = [name for column in columns for name in column.headers]
    rows: list[tuple[Cell, ...]] = []
    for row in methods:
        by_column = [(column, column.cells(row)) for column in columns]
        if any(any(cells) for column, cells in by_column if isinstance(column, _Column)):
            runs = [
                r for column in columns if isinstance(column, _Tokens) for r in column.runs(row)
            ]
            cells = [cell for _, cells in by_column for cell in cells]
            rows.append((row.name, *cells, _reasoning(runs)))
    return Table(number, title, ("Method", *header, "Reasoning"), tuple(rows))


def _reasoning(runs: Sequence[Evaluated]) -> str | None:
    if any(each.reads_nuclei for each in runs):
        return "points"
    share = _mean_over_answers(runs, "thinks")
    return None if share is None else "yes" if share >= 0.5 else "no"


def _mean_over_answers(runs: Sequence[Evaluated], figure: str) -> float | None:
    found = [each.figures[figure] for each in runs if figure in each.figures]
    answers = sum(each.answers for each in found)
    return sum(each.value * each.answers for each in found) / answers if answers else None


def _figures(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {
        name: Figure(
            float(each["value"]),
            None if each["interval"] is None else Interval(*map(float, each["interval"])),
            int(each["answers"]),
        )
        for name, each in data.items()
    }
