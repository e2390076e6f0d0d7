"""``nunext-train ask table`` and ``ask allocate``: the command line of the allocator."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.process.options import positive
from nunext_training.commands.options import (
    add_stage,
    add_strict,
    given,
    optimiser_of,
    recipe_of,
    set_threads,
    train,
)
from nunext_training.runs.progress import counter

if TYPE_CHECKING:
    import argparse

MENU = (16, 36, 64, 144, 256)
"""Budgets of a table where nobody says others: squares of tokens up to the paper's 256."""


def add_parser(methods: Any) -> None:
    """Add the commands to those of ``ask``."""
    table = methods.add_parser("table", help="ask a performer every question at every budget")
    table.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    table.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    table.add_argument("--adapter", type=Path, metavar="DIR", help="additions to it")
    table.add_argument("--out", type=Path, required=True, metavar="FILE", help="goes on if cut off")
    table.add_argument("--split", choices=SPLITS, default="val", help="(val)")
    table.add_argument("--budgets", type=positive, nargs="+", default=MENU, help=str(MENU))
    table.add_argument("--recipe", default="ask_small", help="of the rewards (ask_small)")
    table.add_argument("--max-tokens", type=positive, default=64, help="of an answer (64)")
    table.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    add_strict(table)
    table.set_defaults(run=_table)
    allocate = methods.add_parser("allocate", help="teach how many image tokens questions deserve")
    add_stage(allocate, recipe="allocate_small")
    allocate.add_argument("--table", type=Path, required=True, metavar="FILE")
    allocate.add_argument("--adapter", type=Path, metavar="DIR", help="of the performer")
    allocate.add_argument("--batch-size", type=positive, help="questions in a step")
    allocate.add_argument("--mu", type=float, help="what all of a picture's tokens are worth")
    allocate.add_argument("--look-tokens", type=positive, help="of the thumbnail")
    allocate.add_argument("--name", default="", help="of the new allocator (default: --out's)")
    allocate.set_defaults(run=_allocate)


def _table(args: argparse.Namespace) -> int:
    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.models.answerers.about import taught_thought
    from napari_nunext.models.answerers.answerer import AnswerSampling
    from napari_nunext.models.answerers.folder import token_px
    from napari_nunext.models.answerers.loaded import load_answerer
    from nunext_training.data.answers import read_answers
    from nunext_training.data.answers.reward_table import TableOf
    from nunext_training.evaluation.answering.tabulating import tabulate

    set_threads(args.threads)
    budgets = tuple(sorted(set(args.budgets)))
    patch_px = token_px(args.checkpoint) or PATCH_PX
    thought = taught_thought(args.adapter or args.checkpoint) or "none"
    data = read_answers(
        args.data,
        "grpo",
        budget=budgets[-1],
        patch_px=patch_px,
        strict=args.strict,
        thought=thought,
        allow_loss=args.allow_loss,
    )
    at_budget = {budget: getattr(data.at(budget), args.split) for budget in budgets}
    if not at_budget[budgets[0]]:
        raise InputError(
            f"The {args.split} split of the exports has no question whose answer is known. Choose "
            "another --split."
        )
    of = TableOf.from_performer(
        args.checkpoint,
        args.adapter,
        args.split,
        budgets,
        tuple(origin["manifest_sha256"] for origin in data.origins),
    )
    table = tabulate(
        args.out,
        of,
        load_answerer(AnswererFolder("it", args.checkpoint, adapter=args.adapter)),
        at_budget,
        AnswerSampling(0.0, 0, args.max_tokens),
        recipe_of(args).ask.rewards,
        patch_px=patch_px,
        tell=counter("picture"),
    )
    means = table.rewards.mean(axis=0)
    for budget, mean in zip(budgets, means.tolist(), strict=True):
        sys.stdout.write(f"{budget} tokens: reward {mean:.3f}\n")
    return 0


def _allocate(args: argparse.Namespace) -> int:
    from nunext_training.stages.allocator import AllocatorJob, run_allocator

    job = partial(AllocatorJob, name=args.name, table=args.table, adapter=args.adapter)
    options = given(mu=args.mu, look_tokens=args.look_tokens)
    return train(args, run_allocator, job, **optimiser_of(args), allocator=options)
