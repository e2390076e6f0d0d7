"""``nunext-train report``: the curves of training runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    report = commands.add_parser("report", help="curves of loss, reward and F1 of training runs")
    report.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a checkpoint, or a run that goes on"
    )
    report.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for report.json, .md and .html"
    )
    report.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.reports.curves import read_run, runs_table, write_curves

    runs = [read_run(folder) for folder in args.runs]
    write_curves(runs, args.out)
    sys.stdout.write(runs_table(runs).to_markdown())
    return 0
