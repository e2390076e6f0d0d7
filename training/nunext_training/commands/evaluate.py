"""``nunext-train evaluate``: the command line of evaluation."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.process.options import positive
from napari_nunext.core.process.precision import PRECISION_HELP, PRECISIONS
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from nunext_training.commands.options import (
    add_strict,
    app_models,
    renames_of,
    segmenter_named,
    set_threads,
)
from nunext_training.runs.progress import counter, json_counter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_nunext.core.formats.records import Split
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.data.labelled import LabelledImage


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    evaluate = commands.add_parser("evaluate", help="precision, recall and F1")
    subject = evaluate.add_mutually_exclusive_group(required=True)
    subject.add_argument("--checkpoint", type=Path, metavar="DIR")
    subject.add_argument("--predictions", type=Path, metavar="DIR", help="GeoJSON or label images")
    subject.add_argument(
        "--model",
        metavar="ID",
        help="of a detector that `napari-nunext models` lists, such as classical or cellpose; or "
        "centroids: the truth's own points, to score a segmenter alone",
    )
    evaluate.add_argument(
        "--points",
        choices=("autoregressive", "atomic"),
        help="how --checkpoint decodes, if it has a head for atomic points (default: as it says)",
    )
    data = evaluate.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, nargs="+", metavar="EXPORT_OR_FOLDER")
    data.add_argument(
        "--drawn",
        type=positive,
        metavar="TILES",
        help="so many tiles of drawn tissue, the same each time, that no training has seen",
    )
    evaluate.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="default: val where there is one, else test; never train",
    )
    evaluate.add_argument("--radius-um", type=float, default=MATCH_RADIUS_UM)
    evaluate.add_argument("--matching", choices=("gated", "hungarian"), default="gated")
    evaluate.add_argument("--rename", action="append", default=[], metavar="FROM=TO")
    add_strict(evaluate)
    evaluate.add_argument("--dtype", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    evaluate.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    evaluate.add_argument(
        "--segmenter", metavar="DIR_OR_ID", help="draws the masks to score: a checkpoint, or an id"
    )
    evaluate.add_argument(
        "--clicks",
        type=int,
        default=0,
        metavar="N",
        help="with --model centroids: how good outlines are after up to N corrections by clicks",
    )
    evaluate.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write report.json, .md and .html (or one FILE.json)",
    )
    evaluate.add_argument("--progress", choices=("bar", "jsonl"), default="bar")
    evaluate.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.evaluation.evaluate import (
        evaluate_detector,
        evaluate_predictions,
        evaluate_segmenter,
    )
    from nunext_training.evaluation.predictions import prediction_files
    from nunext_training.reports.evaluation import write_report
    from nunext_training.runs.files import write_json

    if args.clicks and args.model != "centroids":
        raise InputError("--clicks corrects outlines that begin at the truth: --model centroids.")
    set_threads(args.threads)
    images, data = _images_of_split(args) if args.drawn is None else _drawn(args)
    options = {
        "radius_um": args.radius_um,
        "method": args.matching,
        "data": data,
        "segmenter": None if args.segmenter is None else segmenter_named(args.segmenter),
    }
    if args.predictions is not None:
        evaluation = evaluate_predictions(prediction_files(args.predictions), images, **options)
    elif args.model == "centroids":
        if args.segmenter is None:
            raise InputError("--model centroids prompts a segmenter; name one with --segmenter.")
        evaluation = evaluate_segmenter(images=images, progress=counter("image"), **options)
        evaluation = replace(
            evaluation, iou_by_clicks=_iou_by_clicks(args, options["segmenter"], images)
        )
    else:
        evaluation = evaluate_detector(
            _detector(args),
            images,
            progress=json_counter() if args.progress == "jsonl" else counter("image"),
            **options,
        )
    print(evaluation.table())
    if args.out is not None and args.out.suffix == ".json":
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, evaluation.to_json())
    elif args.out is not None:
        method = str(evaluation.subject.get("model", "predictions"))
        write_report(evaluation, args.out, method=method, data_set=_data_set(data))
    return 0


def _iou_by_clicks(
    args: argparse.Namespace, segmenter: Segmenter, images: Sequence[LabelledImage]
) -> tuple[float, ...]:
    from nunext_training.evaluation.clicking import ious_by_clicks

    if args.clicks == 0:
        return ()
    return ious_by_clicks(segmenter, images, clicks=args.clicks, progress=counter("image"))


def _images_of_split(
    args: argparse.Namespace,
) -> tuple[tuple[LabelledImage, ...], dict[str, Any]]:
    from nunext_training.data.labelled import nuclei_count, rename_as_asked, select_split
    from nunext_training.data.sources import read_whole

    sources = read_whole(args.data, strict=args.strict, allow_loss=args.allow_loss)
    every = rename_as_asked(
        [image for source in sources for image in source.images], renames_of(args.rename)
    )
    split: Split | Literal["all"] = args.split or _split_to_score(every)
    images = every if split == "all" else select_split(every, split)
    if not images:
        folders = ", ".join(str(folder) for folder in args.data)
        raise InputError(f"{folders} has no images in its {split} split. Choose another --split.")
    print(f"{len(images)} images ({split}), {nuclei_count(images)} nuclei", file=sys.stderr)
    origins = [source.origin for source in sources]
    data = origins[0] if len(origins) == 1 else {"sources": origins}
    by_split = Counter(image.split for image in images)
    parts = {name: by_split[name] for name in SPLITS if by_split[name]}
    return images, data | {"split": split, "images_by_split": parts}


def _drawn(args: argparse.Namespace) -> tuple[tuple[LabelledImage, ...], dict[str, Any]]:
    from nunext_training.data.importers.synthetic import MPP
    from nunext_training.tasks.replaying import earlier_tissue

    if args.split is not None or args.rename:
        raise InputError("--drawn tiles have neither splits nor names to change: leave those out.")
    drawn = earlier_tissue((), (), mpp=MPP, tiles=args.drawn, split="val")
    (origin,) = drawn.origins
    return drawn.images, origin | {"split": "val", "images_by_split": {"val": args.drawn}}


def _split_to_score(images: Sequence[LabelledImage]) -> Split:
    """Val, else test, where nobody says: never what a model may have learned from."""
    for split in ("val", "test"):
        if any(image.split == split for image in images):
            return split
    raise InputError(
        "The data have training images alone, which a model may have learned from. Give test data, "
        "or say --split train to score them all the same."
    )


def _data_set(data: dict[str, Any]) -> str:
    """Name of what was evaluated on, for the tables."""
    names = [str(origin.get("importer", "data")) for origin in data.get("sources", [data])]
    return " + ".join(dict.fromkeys(names))


def _detector(args: argparse.Namespace) -> Detector:
    if args.checkpoint is None:
        return app_models(args.dtype).load_detector(args.model)
    from napari_nunext.models.devices import named_dtype
    from napari_nunext.models.next_point.detector import NextPointDetector

    atomic = None if args.points is None else args.points == "atomic"
    return NextPointDetector(args.checkpoint, atomic=atomic, dtype=named_dtype(args.dtype))
