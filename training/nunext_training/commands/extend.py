"""``nunext-train extend``: new tokens for a pretrained model, more for a NuNext or a SAM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import mpp, positive
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    import argparse

_FITTED_TO = 3000
"""Windows that a trunk's taps are fitted to."""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    extend = commands.add_parser(
        "extend", help="give a Qwen-VL the tokens of NuNext, or a NuNext more categories"
    )
    extend.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    extend.add_argument("--out", type=Path, required=True, metavar="DIR")
    extend.add_argument("--categories", default="", help="comma-separated")
    extend.add_argument("--seed", type=int, default=0)
    graft = extend.add_argument_group("a NuNext on convolutions of its own")
    graft.add_argument(
        "--pretrained-trunk",
        action="store_true",
        help="put EfficientNet-Lite0 in their place; takes --data, and no --categories; "
        "a segmenter gets it beside its own patches, and takes neither",
    )
    look = extend.add_argument_group("a NuNext that tells categories apart")
    look.add_argument(
        "--second-look",
        action="store_true",
        help="fit a layer that decides about categories once more; takes --data, and --categories "
        "to choose among (default: all that the data know)",
    )
    extend.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="EXPORT",
        help="what a trunk or a second look is fitted to",
    )
    base = extend.add_argument_group("a base model without NuNext's tokens")
    base.add_argument("--window-px", type=positive, help="side of a window (default 448)")
    base.add_argument("--mpp", type=mpp, help="um per window pixel (default 0.25, 40x)")
    base.add_argument("--bins", type=positive, help="coordinate tokens (default 1000)")
    base.add_argument("--latents", type=int, help="for the chain of visual thought (default 8)")
    base.add_argument("--instruction", help="the prompt (default: the paper's)")
    extend.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.models.checkpoints.extend import add_categories, extend_checkpoint
    from napari_nunext.models.checkpoints.integrity import FILE_NAME

    categories = [name.strip() for name in args.categories.split(",") if name.strip()]
    if args.pretrained_trunk and _is_segmenter(args.checkpoint):
        return _graft_on_sam(args)
    if args.second_look:
        return _look_twice(args, categories)
    if args.pretrained_trunk or args.data:
        return _graft(args)
    if not (args.checkpoint / FILE_NAME).is_file():
        description = extend_checkpoint(
            args.checkpoint,
            args.out,
            window_px=args.window_px or 448,
            mpp=args.mpp or 0.25,
            bins=args.bins or 1000,
            latents=8 if args.latents is None else args.latents,
            categories=categories,
            instruction=args.instruction or NUCLEUS_INSTRUCTION,
            seed=args.seed,
        )
    else:
        _check_only_categories(args, categories)
        description = add_categories(args.checkpoint, args.out, categories, seed=args.seed)
    names = ", ".join(c.name for c in description.categories) or "points alone"
    print(f"{args.out}: {description.parameters:,} parameters, {names}")
    return 0


def _check_only_categories(args: argparse.Namespace, categories: list[str]) -> None:
    options = ("window_px", "mpp", "bins", "latents", "instruction")
    given = [f"--{name.replace('_', '-')}" for name in options if getattr(args, name) is not None]
    if given:
        raise InputError(
            f"{args.checkpoint} is a NuNext checkpoint already: {', '.join(given)} cannot change. "
            "Leave that out, or start from the base model."
        )
    if not categories:
        raise InputError(
            f"{args.checkpoint} is a NuNext checkpoint already. Say with --categories what it is "
            "to learn to tell apart."
        )


def _look_twice(args: argparse.Namespace, categories: list[str]) -> int:
    """A second look at the categories of a detector that has learned."""
    from nunext_training.data.sources import read_sources
    from nunext_training.stages.second_look import add_second_look

    if args.pretrained_trunk or not args.data:
        raise InputError(
            "--second-look takes --data, and no --pretrained-trunk: the layer is fitted to the "
            "nuclei that the detector finds there. Fit it last, by a command of its own."
        )
    description = add_second_look(args.checkpoint, args.out, read_sources(args.data), categories)
    look = description.second_look
    assert look is not None
    print(f"{args.out}: {', '.join(look.categories)}; fitted to {look.nuclei:,} nuclei")
    if measured := description.provenance["second_look"]["measured"]:
        first, second = measured["mean_category_f1_first_look"], measured["mean_category_f1"]
        images = counted(measured["images_decoded"], "image")
        print(f"mean category F1 on {images}: {first:.4f} before, {second:.4f} after")
    return 0


def _is_segmenter(checkpoint: Path) -> bool:
    from napari_nunext.models.checkpoints.description import SegmenterDescription, describe
    from napari_nunext.models.checkpoints.integrity import FILE_NAME

    described = (checkpoint / FILE_NAME).is_file() and describe(checkpoint)
    return isinstance(described, SegmenterDescription)


def _graft_on_sam(args: argparse.Namespace) -> int:
    from napari_nunext.models.sam.grafting import graft_trunk_on_sam

    if args.data or args.categories or args.second_look:
        raise InputError(
            f"{args.checkpoint} is a segmenter: with --pretrained-trunk it takes no --data, "
            "--categories or --second-look. Leave them out."
        )
    description = graft_trunk_on_sam(args.checkpoint, args.out)
    print(f"{args.out}: {description.parameters:,} parameters, draws as before until it is trained")
    return 0


def _graft(args: argparse.Namespace) -> int:
    """Another beginning for the tower of a detector that has learned."""
    import numpy as np

    from napari_nunext.models.checkpoints.description import read_description
    from napari_nunext.models.checkpoints.grafting import graft_trunk
    from nunext_training.data.labelled import select_split
    from nunext_training.data.sources import read_sources
    from nunext_training.data.windows import RandomWindows, WindowSpec
    from nunext_training.recipes.sections import WindowOptions

    if not (args.pretrained_trunk and args.data) or args.categories:
        raise InputError(
            "--pretrained-trunk and --data go together, without --categories: the trunk is fitted "
            "to windows of the data. Add categories by a second command."
        )
    described = read_description(args.checkpoint)
    images = [image for source in read_sources(args.data) for image in source.images]
    windows = RandomWindows(
        select_split(images, "train"),
        WindowSpec(described.window_px, described.mpp),
        WindowOptions(),
        length=_FITTED_TO,
        seed=args.seed,
    )
    batches = (
        np.stack([windows[i].rgb for i in range(start, min(start + 64, _FITTED_TO))])
        for start in range(0, _FITTED_TO, 64)
    )
    description = graft_trunk(args.checkpoint, args.out, batches)
    like = description.provenance["trunk"]["like_the_old_tokens"]
    print(f"{args.out}: {description.parameters:,} parameters, {like:.0%} like the old tokens")
    return 0
