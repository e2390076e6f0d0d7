"""``nunext-train release``: the command line of checkpoints that are given to others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.process.options import positive
from nunext_training.commands.options import add_strict, set_threads
from nunext_training.runs.progress import counter

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "release", help="a small copy of a checkpoint, measured, with a model card"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="DIR")
    parser.add_argument("--data", type=Path, nargs="+", metavar="EXPORT")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=["val"])
    parser.add_argument("--weights", choices=("float32", "float16", "bfloat16"), default="float16")
    parser.add_argument(
        "--segmenter", type=Path, metavar="DIR", help="draws what a detector finds, for its masks"
    )
    parser.add_argument(
        "--card", type=Path, metavar="FILE.md", help="text of the model card around its figures"
    )
    parser.add_argument(
        "--to-hub",
        metavar="OWNER/NAME",
        help="send it to the Hugging Face Hub as well; without --checkpoint, --out as it is there",
    )
    parser.add_argument(
        "--public", action="store_true", help="a new repository of the Hub is for everybody"
    )
    add_strict(parser)
    parser.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.public and args.to_hub is None:
        raise InputError("--public is of a repository of the Hub. Add --to-hub OWNER/NAME.")
    given = args.checkpoint is not None, args.data is not None
    if any(given) != all(given) or not (any(given) or args.to_hub):
        raise InputError(
            "A release is made of --checkpoint DIR and --data EXPORT; without both, --to-hub sends "
            "the folder that --out names. Give what is missing."
        )
    if all(given):
        _release(args)
    if args.to_hub is not None:
        from nunext_training.release.hub import publish

        def tell(what: str) -> None:
            print(what, file=sys.stderr)

        sent = publish(args.out, args.to_hub, private=not args.public, tell=tell)
        sys.stdout.write(f"{sent}\n")
    return 0


def _release(args: argparse.Namespace) -> None:
    from nunext_training.data.sources import read_whole
    from nunext_training.release.release import ReleaseJob, release, summary

    set_threads(args.threads)
    if args.to_hub is not None and args.card is None:
        raise InputError("What goes to the Hub has a model card. Add --card FILE.md.")
    sources = read_whole(args.data, strict=args.strict, allow_loss=args.allow_loss)
    job = ReleaseJob(
        checkpoint=args.checkpoint,
        out=args.out,
        weights=args.weights,
        splits=tuple(args.splits),
        segmenter=args.segmenter,
        card=None if args.card is None else _text(args.card),
    )
    measured = release(job, sources, counter("image"))
    sys.stdout.write(f"{summary(measured)}\n{args.out}\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 ({error.reason}). Save it as such."
        ) from error
