"""``nunext-train ablate``: the command line of the ablation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import positive
from nunext_training.ablation.plan import TABLE_5
from nunext_training.commands.options import (
    EXIT_INTERRUPTED,
    add_strict,
    given,
    progress_of,
    recipe_of,
    renames_of,
    set_threads,
    stop_on_signal,
)

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    names = tuple(variant.name for variant in TABLE_5)
    ablate = commands.add_parser("ablate", help="measure what each module of the method adds")
    ablate.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    ablate.add_argument("--out", type=Path, required=True, metavar="DIR")
    ablate.add_argument("--recipe", default="tiny", help="a name or a TOML file (tiny)")
    ablate.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="the common start (default: one is taught)"
    )
    ablate.add_argument("--segmenter", type=Path, metavar="DIR", help="a SAM, for CoVT and TGR")
    ablate.add_argument(
        "--variants", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names)
    )
    ablate.add_argument("--seeds", type=positive, help="how many, from the recipe's seed up")
    ablate.add_argument(
        "--only-seeds",
        type=int,
        nargs="+",
        default=(),
        metavar="SEED",
        help="run these alone: several processes may share one --out",
    )
    ablate.add_argument("--start-steps", type=positive)
    ablate.add_argument("--sft-steps", type=positive)
    ablate.add_argument("--rft-steps", type=positive)
    ablate.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    ablate.add_argument(
        "--rename", action="append", default=[], metavar="FROM=TO", help="rename a category"
    )
    add_strict(ablate)
    ablate.add_argument("--progress", choices=("bar", "jsonl"), default="bar")
    ablate.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.ablation.runs import AblationJob, run_ablation

    set_threads(args.threads)
    job = AblationJob(
        data=tuple(args.data),
        out=args.out,
        recipe=recipe_of(
            args,
            ablation=given(
                seeds=args.seeds,
                start_steps=args.start_steps,
                sft_steps=args.sft_steps,
                rft_steps=args.rft_steps,
            ),
        ),
        checkpoint=args.checkpoint,
        segmenter=args.segmenter,
        variants=tuple(args.variants),
        only_seeds=tuple(args.only_seeds),
        strict=args.strict,
        allow_loss=args.allow_loss,
        renames=renames_of(args.rename),
    )

    def tell(name: str, done: int, of: int) -> None:
        if args.progress == "jsonl":
            sys.stdout.write(
                json.dumps({"event": "run", "run": name, "done": done, "of": of}) + "\n"
            )
            sys.stdout.flush()
        else:
            sys.stderr.write(f"{name} ({done + 1} of {of})\n")

    if not run_ablation(job, progress_of(args.progress), tell=tell, stop=stop_on_signal()):
        sys.stderr.write("nunext-train: stopped; the same command goes on\n")
        return EXIT_INTERRUPTED
    sys.stderr.write(f"Table: {args.out / 'report.md'}\n")
    return 0
