"""``nunext-train``: build, import, sft, rft, evaluate.

Bad input gives one line and exit code 2; training that cannot go on, one line and 1; training that
was interrupted and can be resumed, 130.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_nunext import __version__
from napari_nunext.core.answers import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.metrics import MATCH_RADIUS_UM
from napari_nunext.core.records import SPLITS
from nunext_training import (
    ablate_command,
    extend_command,
    quantise_command,
    report_command,
    rft_command,
    segmenter_command,
)
from nunext_training.command_line import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    add_strict,
    renames_of,
    run_job,
    set_threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.records import Split
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.datasets.labelled import LabelledImage
    from nunext_training.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="nunext-train: %(message)s")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # checkpoints are folders; nothing is fetched
    try:
        code: int = args.run(args)
    except (InputError, OSError) as error:
        print(f"nunext-train: {_one_line(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except NunextError as error:
        print(f"nunext-train: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nunext-train", description="Train NuNext models.")
    parser.add_argument("--version", action="version", version=f"napari-nunext {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands)
    extend_command.add_parser(commands)
    _add_import(commands)
    _add_sft(commands)
    rft_command.add_parser(commands)
    quantise_command.add_parser(commands)
    report_command.add_parser(commands)
    segmenter_command.add_parser(commands)
    ablate_command.add_parser(commands)
    _add_evaluate(commands)
    return parser


def _add_build(commands: Any) -> None:
    build = commands.add_parser("build", help="make a small checkpoint with random weights")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--preset", default="nano", help="nano (default), tiny or small")
    build.add_argument("--family", help="qwen2_5_vl, qwen3_vl or conv_qwen (default: the preset's)")
    build.add_argument("--categories", default="", help="comma-separated; none: points alone")
    build.add_argument("--latents", type=int, default=0, help="latent tokens (default 0)")
    build.add_argument("--window-px", type=int, help="side of a window (default: the preset's)")
    build.add_argument("--mpp", type=float, default=0.5, help="um per window pixel (default 0.5)")
    build.add_argument("--bins", type=int, help="coordinate tokens (default: one a pixel)")
    build.add_argument("--instruction", help="the prompt (default: the paper's)")
    build.add_argument("--seed", type=int, default=0)
    build.set_defaults(run=_build)


def _add_import(commands: Any) -> None:
    from nunext_training.importers import IMPORTERS
    from nunext_training.importers.synthetic import NAME

    parser = commands.add_parser("import", help="turn a published data set into an export")
    names = sorted([*IMPORTERS, NAME])
    parser.add_argument("dataset", choices=names, metavar="DATASET", help=_names())
    parser.add_argument("path", type=Path, nargs="?", help="where the data set lies")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--mpp", type=float, help="um per pixel, instead of what the set says")
    drawn = parser.add_argument_group(NAME, "drawn tissue with exact masks; takes no path")
    drawn.add_argument("--count", type=int, default=100, help="tiles (default 100)")
    drawn.add_argument("--size-px", type=int, default=512, help="side of a tile (default 512)")
    drawn.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=_import)


def _names() -> str:
    from nunext_training.importers import IMPORTERS

    return "; ".join(f"{i.name}: {i.title}" for i in IMPORTERS.values())


def _add_sft(commands: Any) -> None:
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
    sft.set_defaults(run=_sft)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="precision, recall and F1")
    subject = evaluate.add_mutually_exclusive_group(required=True)
    subject.add_argument("--checkpoint", type=Path, metavar="DIR")
    subject.add_argument("--predictions", type=Path, metavar="DIR", help="GeoJSON or label images")
    subject.add_argument(
        "--model",
        choices=("classical", "centroids"),
        help="centroids: the truth's own points, to score a segmenter alone",
    )
    evaluate.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT_OR_FOLDER")
    evaluate.add_argument(
        "--split", choices=(*SPLITS, "all"), help="default: val where there is one, else all"
    )
    evaluate.add_argument("--radius-um", type=float, default=MATCH_RADIUS_UM)
    evaluate.add_argument("--matching", choices=("gated", "hungarian"), default="gated")
    evaluate.add_argument("--rename", action="append", default=[], metavar="FROM=TO")
    add_strict(evaluate)
    evaluate.add_argument("--threads", type=int, help="CPU threads (default: all)")
    evaluate.add_argument(
        "--segmenter", metavar="DIR", help="draws the masks to score: a checkpoint, or classical"
    )
    evaluate.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write report.json, .md and .html (or one FILE.json)",
    )
    evaluate.set_defaults(run=_evaluate)


def _build(args: argparse.Namespace) -> int:
    from napari_nunext.models.builder import build_checkpoint

    categories = tuple(name.strip() for name in args.categories.split(",") if name.strip())
    description = build_checkpoint(
        args.out,
        family=args.family,
        size=args.preset,
        categories=categories,
        latents=args.latents,
        window_px=args.window_px,
        mpp=args.mpp,
        bins=args.bins,
        instruction=args.instruction or NUCLEUS_INSTRUCTION,
        seed=args.seed,
    )
    print(f"{args.out}: {description.parameters:,} parameters, {description.window_px} px windows")
    return 0


def _import(args: argparse.Namespace) -> int:
    from napari_nunext.core.geometry import check_mpp
    from napari_nunext.core.nuclei import default_categories
    from nunext_training.datasets.labelled import shared_patients
    from nunext_training.importers import IMPORTERS
    from nunext_training.importers.synthetic import NAME
    from nunext_training.importers.writing import write_export

    if args.dataset == NAME:
        return _draw(args)
    importer = IMPORTERS[args.dataset]
    if args.path is None:
        raise InputError(f"{importer.title} is read from a folder. Say which, after its name.")
    if not importer.recognises(args.path):
        raise InputError(f"{args.path} has not the layout of {importer.title}. Check the path.")
    images = importer.read(
        args.path, mpp=None if args.mpp is None else check_mpp(args.mpp, "--mpp")
    )
    categories = importer.categories or default_categories(
        sorted({name for image in images for name in image.categories})
    )
    manifest = write_export(
        images,
        args.out,
        categories=categories,
        origin=importer.name,
        progress=_counter("image"),
    )
    counts = ", ".join(f"{n} {what}" for what, n in manifest.counts.items())
    print(f"{args.out}: {counts}")
    shared = shared_patients(images)
    if shared:
        print(
            f"nunext-train: the published split has {len(shared)} patients in more than one part",
            file=sys.stderr,
        )
    return 0


def _draw(args: argparse.Namespace) -> int:
    """Synthetic tiles as an export."""
    from napari_nunext.synthetic import CATEGORIES
    from nunext_training.importers.synthetic import MPP, NAME, DrawnTiles
    from nunext_training.importers.writing import write_export

    if args.path is not None:
        raise InputError(f"{NAME} tiles are drawn, not read; leave out {args.path}.")
    tiles = DrawnTiles(
        args.count, size_px=args.size_px, mpp=MPP if args.mpp is None else args.mpp, seed=args.seed
    )
    manifest = write_export(
        tiles, args.out, categories=CATEGORIES, origin=NAME, progress=_counter("tile")
    )
    print(f"{args.out}: " + ", ".join(f"{n} {what}" for what, n in manifest.counts.items()))
    return 0


def _sft(args: argparse.Namespace) -> int:
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


def _evaluate(args: argparse.Namespace) -> int:
    from nunext_training.evaluate import (
        evaluate_detector,
        evaluate_predictions,
        evaluate_segmenter,
    )
    from nunext_training.files import write_json
    from nunext_training.predictions import prediction_files
    from nunext_training.report import write_report

    set_threads(args.threads)
    images, data = _images_of_split(args)
    options = {
        "radius_um": args.radius_um,
        "method": args.matching,
        "data": data,
        "segmenter": _segmenter(args.segmenter),
    }
    if args.predictions is not None:
        evaluation = evaluate_predictions(prediction_files(args.predictions), images, **options)
    elif args.model == "centroids":
        if args.segmenter is None:
            raise InputError("--model centroids prompts a segmenter; name one with --segmenter.")
        evaluation = evaluate_segmenter(images=images, progress=_counter("image"), **options)
    else:
        evaluation = evaluate_detector(
            _detector(args), images, progress=_counter("image"), **options
        )
    print(evaluation.table())
    if args.out is not None and args.out.suffix == ".json":
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, evaluation.to_json())
    elif args.out is not None:
        method = str(evaluation.subject.get("model", "predictions"))
        write_report(evaluation, args.out, method=method, data_set=_data_set(data))
    return 0


def _images_of_split(
    args: argparse.Namespace,
) -> tuple[tuple[LabelledImage, ...], dict[str, Any]]:
    from nunext_training.datasets.labelled import nuclei_count, rename_categories, select_split
    from nunext_training.datasets.sources import read_sources, tell_left_out

    sources = read_sources(args.data, strict=args.strict)
    every = tuple(image for source in sources for image in source.images)
    left_out = sum(source.left_out for source in sources)
    tell_left_out([p for s in sources for p in s.problems], left_out, left_out + len(every))
    split: Split | Literal["all"] = args.split or ("val" if select_split(every, "val") else "all")
    images = every if split == "all" else select_split(every, split)
    if not images:
        folders = ", ".join(str(folder) for folder in args.data)
        raise InputError(f"{folders} has no images in its {split} split. Choose another --split.")
    images = rename_categories(images, renames_of(args.rename))
    print(f"{len(images)} images ({split}), {nuclei_count(images)} nuclei", file=sys.stderr)
    origins = [source.origin for source in sources]
    data = origins[0] if len(origins) == 1 else {"sources": origins}
    return images, data | {"split": split}


def _data_set(data: dict[str, Any]) -> str:
    """Name of what was evaluated on, for the tables."""
    names = [str(origin.get("importer", "data")) for origin in data.get("sources", [data])]
    return " + ".join(dict.fromkeys(names))


def _detector(args: argparse.Namespace) -> Detector:
    if args.checkpoint is None:
        from napari_nunext.models.classical import adapters

        return adapters.ClassicalDetector()
    from napari_nunext.models.decoding import NextPointDetector

    return NextPointDetector(args.checkpoint)


def _segmenter(name: str | None) -> Segmenter | None:
    if name is None:
        return None
    if name == "classical":
        from napari_nunext.models.classical.adapters import ClassicalSegmenter

        return ClassicalSegmenter()
    from napari_nunext.models.sam import SamSegmenter

    return SamSegmenter(Path(name))


def _counter(what: str) -> Callable[[int, int], None]:
    """A bar on stderr that is told how many of how many are done."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    bar = tqdm(file=sys.stderr, unit=what, leave=False, disable=None)  # on terminals only

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(1)
        if done == total:
            bar.close()

    return tell


if __name__ == "__main__":
    sys.exit(main())
