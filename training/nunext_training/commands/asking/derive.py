"""``nunext-train ask derive``: questions from annotated nuclei."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.process.options import positive
from napari_nunext.core.spelling import one_spelling
from nunext_training.commands.options import add_strict
from nunext_training.runs.progress import counter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from nunext_training.data.derived.deriving import Evidence
    from nunext_training.data.labelled import LabelledImage

KEEP = "keep"
TRUE = "true"


def add_parser(methods: Any) -> None:
    """Add the command to those of ``ask``."""
    derive = methods.add_parser("derive", help="make questions of annotated nuclei")
    derive.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    derive.add_argument("--out", type=Path, required=True, metavar="DIR")
    derive.add_argument(
        "--splits",
        default=KEEP,
        metavar="A/B/C",
        help="shares of train, val and test, by patient; keep (default): the data's",
    )
    derive.add_argument("--only", choices=SPLITS, help="tiles of this split of the data alone")
    derive.add_argument(
        "--evidence",
        metavar="true|FOLDER",
        help="nuclei that an answerer is told: the truth, or what was found (napari-nunext detect)",
    )
    derive.add_argument(
        "--mix",
        default="0.45/0.30/0.25",
        metavar="A/B/C",
        help="to learn from: shares told what was found, that disturbed, the truth "
        "(0.45/0.30/0.25)",
    )
    derive.add_argument("--windows", type=positive, default=16, help="of a tile to learn from (16)")
    derive.add_argument("--grid", type=positive, default=4, help="along held-out tiles (4)")
    derive.add_argument("--window-um", type=float, default=64.0, help="side of a window (64)")
    derive.add_argument(
        "--stain",
        choices=("haematoxylin", "dab", "none"),
        default="haematoxylin",
        help="in nuclei, that is asked about (haematoxylin)",
    )
    derive.add_argument(
        "--threshold", type=float, help="over which a nucleus is dark, or brown (from train)"
    )
    derive.add_argument("--kinds", nargs="+", default=(), metavar="KIND", help="of questions (all)")
    derive.add_argument("--seed", type=int, default=0)
    add_strict(derive)
    derive.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.core.nuclei import default_categories
    from nunext_training.data.derived.deriving import (
        ORIGIN,
        Deriving,
        derive,
        threshold_of,
    )
    from nunext_training.data.derived.evidence import Mix
    from nunext_training.data.importers.questions.writing import write_questions

    if not 0 < args.window_um < math.inf:
        raise InputError(f"--window-um is {args.window_um}; expected a size over 0, such as 64.")
    tiles, names = _tiles(args)
    found = _evidence(args.evidence, tiles, names)
    options = Deriving(
        window_um=args.window_um,
        windows_per_tile=args.windows,
        grid=args.grid,
        seed=args.seed,
        kinds=tuple(args.kinds),
        mix=Mix(*_shares(args.mix, "--mix")),
    )
    if args.stain != "none":
        learnt = [tile for tile in tiles if tile.split == "train"]
        over = threshold_of(learnt, args.stain) if args.threshold is None else args.threshold
        options = replace(options, stain=args.stain, threshold=over)
    mpps = {tile.mpp_source for tile in tiles}
    done = write_questions(
        derive(tiles, names, found, options),
        args.out,
        origin=ORIGIN,
        mpp=tiles[0].mpp,
        mpp_source=mpps.pop() if len(mpps) == 1 else "user",
        strict=True,
        categories=default_categories(names),
        filters={"derived": options.to_json(), "evidence": args.evidence and _told(args.evidence)},
        progress=counter("tile"),
    )
    sides = ", ".join(f"{done.splits[side]} {side}" for side in SPLITS)
    sys.stdout.write(f"{args.out}: {done.manifest.counts['answers_rft']} questions ({sides})\n")
    return 0


def _told(evidence: str) -> str:
    """Without the path."""
    return TRUE if evidence == TRUE else "found"


def _tiles(args: argparse.Namespace) -> tuple[tuple[LabelledImage, ...], list[str]]:
    """Tiles on the side that they are to be on, and the categories of all."""
    from nunext_training.data.derived.splits import dealt_out, kept_whole
    from nunext_training.data.labelled import rename_categories
    from nunext_training.data.sources import read_whole

    sources = read_whole(args.data, strict=args.strict, allow_loss=args.allow_loss)
    images = [image for source in sources for image in source.images]
    if args.splits == KEEP:
        tiles = kept_whole(images)
    else:
        tiles = dealt_out(images, _shares(args.splits, "--splits"), args.seed)
    # By what the data say, so that tiles that others call held out can be told from the rest.
    kept = [t for t, i in zip(tiles, images, strict=True) if args.only in (None, i.split)]
    if not kept:
        raise InputError("There is no tile to make questions of. Check --data and --only.")
    # Sorted: which exports they come from, and in which order, changes nothing.
    spelling = one_spelling(sorted({name for tile in kept for name in tile.categories}))
    return rename_categories(kept, spelling), sorted(set(spelling.values()))


def _evidence(
    asked: str | None, tiles: Sequence[LabelledImage], names: Sequence[str]
) -> list[Evidence] | Any:
    """What `derive` takes: the truth alone, or what was found in each tile, in its spelling."""
    from nunext_training.data.derived.deriving import Evidence
    from nunext_training.evaluation.predictions import (
        prediction_files,
        predictions_of,
        read_prediction,
    )

    if asked is None or asked == TRUE:
        return asked
    paths = predictions_of(tiles, prediction_files(Path(asked)))
    missing = [tile for tile, path in zip(tiles, paths, strict=True) if path is None]
    if missing:
        raise RecordError(
            f"{asked} has no predictions of {len(missing)} of {len(tiles)} tiles; expected for "
            f"example {missing[0].path.stem}.geojson. Make them with napari-nunext detect."
        )
    return [
        Evidence(found.points_xy, found.renamed(one_spelling(found.categories, names)).categories)
        for tile, path in zip(tiles, paths, strict=True)
        if path is not None
        for found in (read_prediction(path, tile.open()),)
    ]


def _shares(text: str, what: str) -> tuple[float, float, float]:
    try:
        first, second, third = map(float, text.split("/"))
    except ValueError as error:
        raise InputError(
            f"{what} is {text!r}; expected three shares whose sum is 1, as 0.7/0.15/0.15."
        ) from error
    return first, second, third
