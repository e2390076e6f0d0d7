"""``nunext-train ask budgets``: what image tokens buy, and what choosing them is worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import positive
from nunext_training.commands.options import add_strict, set_threads
from nunext_training.runs.progress import counter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from nunext_training.data.answers.reward_table import RewardTable
    from nunext_training.evaluation.answering.budgets import Way

MU = 0.1
"""What all of a picture's tokens are worth, where nobody says otherwise (ours)."""


def add_parser(methods: Any) -> None:
    """Add the command to those of ``ask``."""
    budgets = methods.add_parser("budgets", help="compare ways of choosing image tokens")
    budgets.add_argument("--table", type=Path, required=True, metavar="FILE", help="to report on")
    budgets.add_argument(
        "--choose-by",
        type=Path,
        metavar="FILE",
        help="a table of other questions: the best budget of each kind there is tried here",
    )
    budgets.add_argument("--mu", type=float, default=MU, help=f"of Eq. 10 ({MU})")
    budgets.add_argument("--allocator", type=Path, nargs="+", default=[], metavar="DIR")
    budgets.add_argument("--checkpoint", type=Path, metavar="DIR", help="of the performer")
    budgets.add_argument("--adapter", type=Path, metavar="DIR", help="additions to it")
    budgets.add_argument("--data", type=Path, nargs="+", default=[], metavar="EXPORT")
    budgets.add_argument("--out", type=Path, required=True, metavar="DIR")
    budgets.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    add_strict(budgets)
    budgets.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.data.answers.reward_table import read_table
    from nunext_training.evaluation.answering.budgets import (
        best_of_kinds,
        fixed_ways,
        oracle,
        spending_table,
        spendings,
    )
    from nunext_training.evaluation.intervals import WORDS
    from nunext_training.reports.spending import write_spending

    set_threads(args.threads)
    table = read_table(args.table)
    ways = fixed_ways(table)
    if args.choose_by is not None:
        ways.append(best_of_kinds(table, read_table(args.choose_by), args.mu))
    ways += [*_allocators(args, table), oracle(table, args.mu)]
    spent = spendings(table, ways)
    notes = [
        f"{len(table.questions)} questions of the {table.of.split} split, each answered once at "
        f"each budget, the likeliest answer. mu = {args.mu:g}.",
        "The oracle knows the reward of each choice beforehand; no allocator does.",
        WORDS,
    ]
    write_spending(spent, notes, {"table": table.of.to_json(), "mu": args.mu}, args.out)
    sys.stdout.write(spending_table(spent).to_markdown())
    return 0


def _allocators(args: argparse.Namespace, table: RewardTable) -> Iterator[Way]:
    """What each of the allocators chooses."""
    if not args.allocator:
        return
    if args.checkpoint is None or not args.data:
        raise InputError(
            "An allocator is additions to its performer, and looks at pictures: name "
            "--checkpoint and --data as well."
        )
    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.models.answerers.about import taught_allocation
    from napari_nunext.models.answerers.folder import token_px
    from napari_nunext.models.answerers.loaded import load_answerer
    from nunext_training.data.answers import read_answers
    from nunext_training.evaluation.answering.choosing import choices_of

    table.of.check_performer(args.checkpoint, args.adapter, args.table.name)
    patch_px = token_px(args.checkpoint) or PATCH_PX
    for folder in args.allocator:
        allocation = taught_allocation(folder)
        data = read_answers(
            args.data,
            "grpo",
            budget=allocation.look_tokens,
            patch_px=patch_px,
            strict=args.strict,
            allow_loss=args.allow_loss,
        )
        place = AnswererFolder("it", args.checkpoint, adapter=args.adapter, allocator=folder)
        name = "allocator" if len(args.allocator) == 1 else f"allocator {folder.name}"
        yield choices_of(
            name,
            table,
            load_answerer(place),
            allocation,
            getattr(data, table.of.split),
            patch_px=patch_px,
            tell=counter("question"),
        )
