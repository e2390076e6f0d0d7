"""``nunext-train atomic``: the command line of training a head for atomic points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import positive
from nunext_training.commands.options import add_stage, given, optimiser_of, train

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    atomic = commands.add_parser(
        "atomic", help="teach a checkpoint to say a point in one forward pass"
    )
    add_stage(atomic, recipe="atomic")
    atomic.add_argument("--batch-size", type=positive)
    atomic.add_argument(
        "--tolerance-um", type=float, help="a guess farther off than this is read again"
    )
    atomic.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.stages.atomic import run_atomic
    from nunext_training.stages.stage import Job

    atomic = given(tolerance_um=args.tolerance_um)
    return train(args, run_atomic, Job, **optimiser_of(args), atomic=atomic)
