"""``nunext-train sft``: the command line of supervised fine-tuning."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.asked import Training
from napari_nunext.core.process.parameters import add_parameters, parameters_of
from nunext_training.commands.options import OF_ALL_STAGES, add_stage, train, trained

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    sft = commands.add_parser("sft", help="fine-tune a checkpoint on exports")
    add_stage(sft, recipe=Training().recipe)
    rest = {each.name for each in parameters_of(Training)}.difference(OF_ALL_STAGES)
    add_parameters(sft, Training, only=rest)
    sft.add_argument(
        "--covt", type=Path, metavar="SAM", help="teach the latent tokens to think of masks"
    )
    sft.add_argument(
        "--replay",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATA",
        help="what the checkpoint learned from before, to keep it; drawn tissue where none is "
        "named, if the recipe replays any ([keeping])",
    )
    sft.add_argument(
        "--untested",
        action="store_true",
        help="leave out the test of old and new model with which a run that replays ends",
    )
    sft.add_argument("--workers", type=int, default=0, help="processes that cut windows")
    sft.add_argument(
        "--keep",
        choices=("best", "last"),
        default="best",
        help="the weights that validate best; or the last, and the val split stays unseen",
    )
    sft.add_argument("--name", default="", help="of the new model, for people (default: --out's)")
    sft.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.stages.sft import SftJob, run_sft

    job = partial(
        SftJob,
        name=args.name,
        covt=args.covt,
        workers=args.workers,
        keep=args.keep,
        replay=tuple(args.replay),
        tests=not args.untested,
    )
    changes = trained(args).changes()
    changes.pop("seed", None)  # of every stage
    return train(args, run_sft, job, **changes)
