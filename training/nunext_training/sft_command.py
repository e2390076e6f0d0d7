"""``nunext-train sft``: the command line of supervised fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunext_training.command_line import add_strict, renames_of, run_job, set_threads

if TYPE_CHECKING:
    import argparse

    from nunext_training.recipe import Recipe


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    sft = commands.add_parser("sft", help="fine-tune a checkpoint on exports")
    sft.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    sft.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    sft.add_argument("--out", type=Path, required=True, metavar="DIR")
    sft.add_argument("--recipe", default="feedback", help="a name or a TOML file (feedback)")
    sft.add_argument("--supervision", choices=("naive", "soft"))
    sft.add_argument("--sigma-bins", type=float)
    sft.add_argument(
        "--covt", type=Path, metavar="SAM", help="teach the latent tokens to think of masks"
    )
    sft.add_argument("--steps", type=int)
    sft.add_argument("--batch-size", type=int)
    sft.add_argument("--lr", type=float)
    sft.add_argument("--warmup-steps", type=int)
    sft.add_argument("--validate-every", type=int, metavar="STEPS")
    sft.add_argument("--seed", type=int)
    sft.add_argument("--threads", type=int, help="CPU threads (default: all)")
    sft.add_argument("--workers", type=int, default=0, help="processes that cut windows")
    sft.add_argument(
        "--rename", action="append", default=[], metavar="FROM=TO", help="rename a category"
    )
    add_strict(sft)
    sft.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    sft.add_argument("--progress", choices=("bar", "jsonl"), default="bar")
    sft.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.sft import SftJob, run_sft

    set_threads(args.threads)
    job = SftJob(
        data=tuple(args.data),
        checkpoint=args.checkpoint,
        out=args.out,
        recipe=_recipe(args),
        resume=args.resume,
        strict=args.strict,
        renames=renames_of(args.rename),
        covt=args.covt,
        workers=args.workers,
    )
    return run_job(args, run_sft, job)


def _recipe(args: argparse.Namespace) -> Recipe:
    """The named recipe, with what the command line says instead."""
    from nunext_training.recipe import load_recipe

    def given(**values: Any) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value is not None}

    recipe = load_recipe(args.recipe)
    return replace(
        recipe,
        loss=replace(
            recipe.loss, **given(supervision=args.supervision, sigma_bins=args.sigma_bins)
        ),
        optimiser=replace(
            recipe.optimiser,
            **given(
                steps=args.steps,
                batch_size=args.batch_size,
                lr=args.lr,
                warmup_steps=args.warmup_steps,
            ),
        ),
        validation=replace(recipe.validation, **given(every_steps=args.validate_every)),
        **given(seed=args.seed),
    )
