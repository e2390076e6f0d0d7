"""``nunext-train ask``: the command line of training answerers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import positive
from nunext_training.commands.options import add_stage, given, optimiser_of, train

if TYPE_CHECKING:
    import argparse

METHODS = {
    "sft": "on answers that are right, as they were said or as they were corrected",
    "grpo": "by the rewards of its own answers, where people said what is right",
    "dpo": "on pairs of answers, one of which people preferred",
    "kto": "on answers that people found good, or bad",
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    ask = commands.add_parser("ask", help="train a model that answers questions")
    methods = ask.add_subparsers(required=True, metavar="METHOD")
    for name, what in METHODS.items():
        method = methods.add_parser(name, help=what)
        add_stage(method, recipe="ask_small")
        method.add_argument("--batch-size", type=positive)
        method.add_argument("--budget", type=positive, help="image tokens of a picture, at most")
        method.add_argument("--name", default="", help="of the new model (default: --out's)")
        method.set_defaults(run=_run, method=name)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.stages.answers import AnswerJob, run_answers

    job = partial(AnswerJob, name=args.name, method=args.method)
    return train(args, run_answers, job, **optimiser_of(args), ask=given(budget=args.budget))
