"""``nunext-train rft``: the command line of reinforcement fine-tuning."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import positive
from nunext_training.commands.options import add_stage, given, train

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    rft = commands.add_parser("rft", help="fine-tune a checkpoint by the rewards of its replies")
    add_stage(rft, recipe="feedback")
    rft.add_argument("--segmenter", type=Path, metavar="DIR", help="for the task-guided reward")
    rft.add_argument("--vllm", metavar="URL", help="a vLLM server that decodes the rollouts")
    rft.add_argument("--windows", type=positive, help="groups in a step")
    rft.add_argument("--rollouts", type=positive, help="replies in a group")
    rft.add_argument("--accumulation", type=positive, metavar="PASSES")
    rft.add_argument("--temperature", type=float)
    rft.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.stages.rft import RftJob, run_rft

    rft = given(
        steps=args.steps,
        windows_per_step=args.windows,
        rollouts=args.rollouts,
        accumulation=args.accumulation,
        lr=args.lr,
        temperature=args.temperature,
        validate_every=args.validate_every,
        task_guided=True if args.segmenter is not None else None,
    )
    job = partial(RftJob, segmenter=args.segmenter, vllm=args.vllm)
    return train(args, run_rft, job, rft=rft)
