"""``nunext-train ask rows``: answerers beside each other, each over several seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.commands.asking.files import named_files, read_evaluation

if TYPE_CHECKING:
    import argparse

    from nunext_training.evaluation.answering.answer_rows import AnswerRow


def add_parser(methods: Any) -> None:
    """Add the command to those of ``ask``."""
    rows = methods.add_parser("rows", help="put answerers beside each other, seed by seed")
    rows.add_argument(
        "rows",
        nargs="+",
        metavar="NAME=FILE[,FILE]",
        help="what ``ask evaluate --out`` wrote, a file for each seed",
    )
    rows.add_argument("--beside", metavar="NAME", help="say how much better than this row")
    rows.add_argument(
        "--group",
        nargs="+",
        default=[],
        metavar="NAME=KIND[,KIND]",
        help="a second table, of the mean of some kinds of questions",
    )
    rows.add_argument("--out", type=Path, required=True, metavar="DIR")
    rows.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.evaluation.answering.answer_rows import table_of_groups, table_of_rows
    from nunext_training.evaluation.intervals import WORDS
    from nunext_training.reports.pages import markdown
    from nunext_training.runs.files import write_json, write_text

    rows = [_row(text) for text in args.rows]
    beside = next((row for row in rows if row.name == args.beside), None)
    if args.beside is not None and beside is None:
        raise InputError(
            f"There is no row {args.beside!r} to put others beside; expected one of "
            f"{', '.join(row.name for row in rows)}."
        )
    tables = [table_of_rows(rows, beside)]
    if groups := dict(map(_group, args.group)):
        tables.append(table_of_groups(rows, groups, beside))
    notes = ["Figures of several seeds are of all their answers.", WORDS]
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "rows.json", {"notes": notes, "tables": [t.to_json() for t in tables]})
    write_text(args.out / "rows.md", markdown("Answerers", notes, tables))
    sys.stdout.write("\n".join(table.to_markdown() for table in tables))
    return 0


def _group(text: str) -> tuple[str, list[str]]:
    name, _, kinds = text.partition("=")
    if not (name and kinds):
        raise InputError(f"{text!r} is no group; expected NAME=KIND, or NAME=KIND,KIND.")
    return name, kinds.split(",")


def _row(text: str) -> AnswerRow:
    from nunext_training.evaluation.answering.answer_rows import AnswerRow

    name, files = named_files(text)
    return AnswerRow.of(name, [_read(file) for file in files])


def _read(path: Path) -> dict[str, Any]:
    found = read_evaluation(path, "figures")
    if not (found.get("values") or found.get("means")):
        raise InputError(
            f"{path.name} has no figures of answers that are worth something or nothing. Evaluate "
            "questions whose answers are known."
        )
    return found
