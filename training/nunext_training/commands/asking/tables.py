"""``nunext-train ask tables``: evaluations as Tables 1 to 6 of "Bilateral pathology reasoning"."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunext_training.commands.asking.files import named_files, read_evaluation

if TYPE_CHECKING:
    import argparse

    from nunext_training.evaluation.answering.paper_tables import MethodRow


def add_parser(methods: Any) -> None:
    """Add the command to those of ``ask``."""
    tables = methods.add_parser("tables", help="lay evaluations out as the paper's tables")
    tables.add_argument(
        "rows",
        nargs="*",
        metavar="NAME=FILE[,FILE]",
        help="what ``ask evaluate --out`` wrote, a file for each data set and split",
    )
    tables.add_argument(
        "--budgets",
        nargs="+",
        default=[],
        metavar="NAME=FILE[,FILE]",
        help="rows of Table 6: a performer on PathMMU at fixed budgets, and with its allocator",
    )
    tables.add_argument("--out", type=Path, required=True, metavar="DIR")
    tables.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.core.errors import InputError
    from nunext_training.evaluation.answering.paper_tables import NOTES, paper_tables
    from nunext_training.evaluation.intervals import WORDS
    from nunext_training.reports.pages import html_table, markdown, page
    from nunext_training.runs.files import write_json, write_text

    tables = paper_tables([*map(_row, args.rows)], [*map(_row, args.budgets)])
    if not tables:
        raise InputError(
            "There is nothing to lay out. Name evaluations as NAME=FILE; those of --budgets have "
            "to be of PathMMU."
        )
    title, notes = "Answers in the layout of arXiv 2505.15687", [*NOTES, WORDS]
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "tables.json", {"notes": notes, "tables": [t.to_json() for t in tables]})
    write_text(args.out / "tables.md", markdown(title, notes, tables))
    write_text(args.out / "tables.html", page(title, notes, [html_table(t) for t in tables]))
    sys.stdout.write("\n".join(table.to_markdown() for table in tables))
    return 0


def _row(text: str) -> MethodRow:
    from nunext_training.evaluation.answering.paper_tables import Evaluated, MethodRow

    name, files = named_files(text)
    read = ((path, read_evaluation(path, "figures", "data", "split")) for path in files)
    return MethodRow(name, tuple(Evaluated.of(found, path.name) for path, found in read))
