"""``nunext-train segmenter``, ``build-sam``, ``convert-sam``: command lines of training a SAM."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.process.options import mpp, positive
from nunext_training.commands.options import add_stage, optimiser_of, train

if TYPE_CHECKING:
    import argparse

    from napari_nunext.models.checkpoints.description import SegmenterDescription


def add_parser(commands: Any) -> None:
    """Add the commands to the parser's."""
    train = commands.add_parser("segmenter", help="fine-tune a SAM on exports with masks")
    add_stage(train, recipe="segmenter", checkpoint="SAM")
    train.add_argument("--batch-size", type=positive)
    train.set_defaults(run=_train)

    build = commands.add_parser("build-sam", help="make a small SAM with random weights")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--preset", default="small", help="nano, tiny or small (default)")
    build.add_argument(
        "--window-px", type=positive, default=128, help="side of a window (default 128)"
    )
    build.add_argument("--mpp", type=mpp, default=0.5, help="um per window pixel (default 0.5)")
    build.add_argument("--seed", type=int, default=0)
    build.set_defaults(run=_build)

    convert = commands.add_parser(
        "convert-sam", help="a .pth of segment-anything or PromptNucSeg to a checkpoint"
    )
    convert.add_argument("file", type=Path, metavar="FILE.pth")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR")
    convert.add_argument(
        "--window-px",
        type=positive,
        help="side of a window (default: the file's; PromptNucSeg: 256)",
    )
    convert.add_argument("--mpp", type=mpp, default=0.25, help="um per pixel (default 0.25)")
    convert.set_defaults(run=_convert)


def _train(args: argparse.Namespace) -> int:
    from nunext_training.stages.segmenter import run_segmenter
    from nunext_training.stages.stage import Job

    return train(args, run_segmenter, Job, **optimiser_of(args))


def _build(args: argparse.Namespace) -> int:
    from napari_nunext.models.sam.build import build_sam

    return _tell(
        args.out,
        build_sam(
            args.out,
            window_px=args.window_px,
            mpp=args.mpp,
            preset=args.preset,
            seed=args.seed,
        ),
    )


def _convert(args: argparse.Namespace) -> int:
    from napari_nunext.models.sam.convert import convert_sam

    return _tell(args.out, convert_sam(args.file, args.out, window_px=args.window_px, mpp=args.mpp))


def _tell(out: Path, made: SegmenterDescription) -> int:
    sys.stdout.write(f"{out}: {made.parameters:,} parameters, {made.window_px} px windows\n")
    return 0
