"""``nunext-train rft``: the command line of reinforcement fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunext_training.command_line import (
    add_strict,
    renames_of,
    run_job,
    set_threads,
)

if TYPE_CHECKING:
    import argparse

    from nunext_training.recipe import Recipe


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    rft = commands.add_parser("rft", help="fine-tune a checkpoint by the rewards of its replies")
    rft.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    rft.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    rft.add_argument("--out", type=Path, required=True, metavar="DIR")
    rft.add_argument("--recipe", default="feedback", help="a name or a TOML file (feedback)")
    rft.add_argument("--segmenter", type=Path, metavar="DIR", help="for the task-guided reward")
    rft.add_argument("--vllm", metavar="URL", help="a vLLM server that decodes the rollouts")
    rft.add_argument("--steps", type=int)
    rft.add_argument("--windows", type=int, help="groups in a step")
    rft.add_argument("--rollouts", type=int, help="replies in a group")
    rft.add_argument("--accumulation", type=int, metavar="PASSES")
    rft.add_argument("--lr", type=float)
    rft.add_argument("--temperature", type=float)
    rft.add_argument("--validate-every", type=int, metavar="STEPS")
    rft.add_argument("--seed", type=int)
    rft.add_argument("--threads", type=int, help="CPU threads (default: all)")
    rft.add_argument(
        "--rename", action="append", default=[], metavar="FROM=TO", help="rename a category"
    )
    add_strict(rft)
    rft.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    rft.add_argument("--progress", choices=("bar", "jsonl"), default="bar")
    rft.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.rft import RftJob, run_rft

    set_threads(args.threads)
    job = RftJob(
        data=tuple(args.data),
        checkpoint=args.checkpoint,
        out=args.out,
        recipe=_recipe(args),
        resume=args.resume,
        strict=args.strict,
        renames=renames_of(args.rename),
        segmenter=args.segmenter,
        vllm=args.vllm,
    )
    return run_job(args, run_rft, job)


def _recipe(args: argparse.Namespace) -> Recipe:
    """The named recipe, with what the command line says instead."""
    from nunext_training.recipe import load_recipe

    recipe = load_recipe(args.recipe)
    said = {
        "steps": args.steps,
        "windows_per_step": args.windows,
        "rollouts": args.rollouts,
        "accumulation": args.accumulation,
        "lr": args.lr,
        "temperature": args.temperature,
        "validate_every": args.validate_every,
        "task_guided": True if args.segmenter is not None else None,
    }
    rft = replace(recipe.rft, **{key: value for key, value in said.items() if value is not None})
    return replace(recipe, rft=rft, seed=recipe.seed if args.seed is None else args.seed)
