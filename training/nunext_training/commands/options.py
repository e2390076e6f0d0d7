"""What the subcommands of ``nunext-train`` share."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.asked import Training
from napari_nunext.core.process.options import positive
from napari_nunext.core.process.parameters import add_parameters, given_to

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.progress import Progress
    from nunext_training.stages.stage import Job

OF_ALL_STAGES = ("recipe", "steps", "lr", "validate_every", "seed")
"""What of `Training` every stage is asked; ``sft`` is asked the rest, too."""
EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add the options to stop at bad input rather than leave it out, and to leave out most."""
    parser.add_argument(
        "--strict", action="store_true", help="stop at bad records (default: left out, counted)"
    )
    parser.add_argument(
        "--allow-loss",
        action="store_true",
        help="go on where more than half would be left out (default: stop and say what)",
    )


def add_stage(parser: argparse.ArgumentParser, recipe: str, checkpoint: str = "DIR") -> None:
    """Add what every stage of training is asked for; `train` reads it."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar=checkpoint)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_parameters(parser, Training, only=OF_ALL_STAGES, defaults={"recipe": recipe})
    parser.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    parser.add_argument(
        "--rename", action="append", default=[], metavar="FROM=TO", help="rename a category"
    )
    add_strict(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    parser.add_argument("--progress", choices=("bar", "jsonl"), default="bar")


def recipe_of(args: argparse.Namespace, **changes: Any) -> Recipe:
    """The named recipe, with what the command line says instead; see `changed`."""
    from nunext_training.recipes.recipe import changed, load_recipe

    return changed(load_recipe(args.recipe), **changes, **given(seed=getattr(args, "seed", None)))


def trained(args: argparse.Namespace) -> Training:
    """What a command line says of `Training`, for a command that has all of it."""
    return Training(**given_to(Training, args))


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None: what the command line says instead of the recipe."""
    return {key: value for key, value in values.items() if value is not None}


def renames_of(pairs: Sequence[str]) -> dict[str, str]:
    """Categories to rename, from ``FROM=TO`` options."""
    renames = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (equals and old and new):
            raise InputError(f"--rename {pair!r} is not FROM=TO.")
        renames[old] = new
    return renames


def stop_on_signal() -> Callable[[], bool]:
    """Finish the step and save on the first SIGINT or SIGTERM; the second one ends at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return lambda: asked


def set_threads(threads: int | None) -> None:
    """Limit the CPU threads of torch; all where it is None."""
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))


def segmenter_named(name: str | None) -> Segmenter:
    """The segmenter of this id, else the one of this folder; the app's own where it is None."""
    catalog = app_models()
    if name is None or any(e.id == name for e in catalog.entries() if e.kind == "segmenter"):
        return catalog.load_segmenter(name)
    from napari_nunext.models.sam.segmenter import SamSegmenter

    return SamSegmenter(Path(name))


def app_models(precision: Precision = "auto") -> Catalog:
    """The models that the app finds too."""
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.places import models_folder

    return Catalog([models_folder()], precision=precision)


def progress_of(name: str) -> Progress:
    """The progress that ``--progress`` names, and no other bars beside it."""
    from transformers.utils import logging as transformers_logging

    from nunext_training.runs.progress import Bar, JsonLines

    # Its own bars, for reading and writing weights, would come between.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return JsonLines(sys.stdout) if name == "jsonl" else Bar(sys.stderr)


def optimiser_of(args: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """What the command line says of the optimiser and of validation, as changes of a recipe."""
    return {
        "optimiser": given(steps=args.steps, batch_size=args.batch_size, lr=args.lr, **more),
        "validation": given(every_steps=args.validate_every),
    }


def train(
    args: argparse.Namespace,
    run: Callable[..., Path | None],
    job: Callable[..., Job],
    **changes: Any,
) -> int:
    """Run a stage as `add_stage` asked for it, and return the exit code.

    Parameters
    ----------
    args : Namespace
    run : callable
        Of the stage: `run_sft`, for example.
    job : callable
        Makes the stage's job of what every job has.
    **changes
        What the command line says instead of the recipe; see `changed`.
    """
    set_threads(args.threads)
    asked = job(
        data=tuple(args.data),
        checkpoint=args.checkpoint,
        out=args.out,
        recipe=recipe_of(args, **changes),
        resume=args.resume,
        strict=args.strict,
        allow_loss=args.allow_loss,
        renames=renames_of(args.rename),
    )
    if run(asked, progress_of(args.progress), stop=stop_on_signal()) is None:
        sys.stderr.write("nunext-train: stopped; go on with --resume\n")
        return EXIT_INTERRUPTED
    return 0
