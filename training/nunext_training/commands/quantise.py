"""``nunext-train quantize``: the command line of smaller weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import positive
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from nunext_training.commands.options import add_strict, renames_of, set_threads

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("quantize", help="make a checkpoint smaller; F1 before and after")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--method", choices=("int8", "w4a16"), default="int8")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="interpreter with llmcompressor, for w4a16"
    )
    parser.add_argument(
        "--calibration",
        type=positive,
        default=128,
        metavar="WINDOWS",
        help="for w4a16 (default 128)",
    )
    parser.add_argument("--radius-um", type=float, default=MATCH_RADIUS_UM)
    parser.add_argument("--matching", choices=("gated", "hungarian"), default="gated")
    parser.add_argument("--rename", action="append", default=[], metavar="FROM=TO")
    add_strict(parser)
    parser.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from transformers.utils import logging as transformers_logging

    from nunext_training.data.labelled import rename_as_asked, select_split
    from nunext_training.data.sources import read_whole
    from nunext_training.release.quantise import QuantiseJob, quantise

    set_threads(args.threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    sources = read_whole(args.data, strict=args.strict, allow_loss=args.allow_loss)
    images = rename_as_asked([i for s in sources for i in s.images], renames_of(args.rename))
    val, train = select_split(images, "val"), select_split(images, "train")
    data = {"origins": [source.origin for source in sources], "split": "val" if val else "all"}
    job = QuantiseJob(
        checkpoint=args.checkpoint,
        out=args.out,
        method=args.method,
        radius_um=args.radius_um,
        matching=args.matching,
        python=args.python,
        calibration_windows=args.calibration,
    )
    result = quantise(job, val or images, train or images, data)
    sys.stdout.write(f"{result.table()}\n{args.out}\n")
    return 0
