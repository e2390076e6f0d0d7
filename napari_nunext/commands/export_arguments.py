"""What ``napari-nunext export`` is asked; what exports is imported when it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from napari_nunext.commands.export import Written


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``, apart from where images lie."""
    parser.add_argument("project", type=Path, help="the project's file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--format",
        choices=_Formats(),
        metavar="FORMAT",  # argparse would look the choices up at once
        default="training",
        help="what to write: training data of what is complete (default), or all nuclei; one of "
        "%(choices)s",
    )
    parser.add_argument(
        "--flavour",
        choices=("trl", "ms-swift", "llama-factory"),
        help="with training data: also as this trainer reads it, with absolute image paths",
    )
    parser.add_argument(
        "--answers",
        choices=("checked", "all", "none"),
        default="checked",
        help="with training data: judged answers to questions go along unless their words look as "
        "if they named somebody (default), in any case, or not at all",
    )
    parser.add_argument(
        "--even-if-broken",
        action="store_true",
        help="export what there is of a project that was changed or lost its end",
    )


def export_command(args: argparse.Namespace) -> Written:
    """Export, and return what was written; raises as `commands.export.export_project`."""
    from napari_nunext.commands.export import export_project

    return export_project(
        args.project,
        args.out,
        args.format,
        image_folders=args.images,
        even_if_broken=args.even_if_broken,
        flavour=args.flavour,
        answers=args.answers,
    )


class _Formats:
    """What ``--format`` takes; looked up for ``export`` alone, because that takes its time."""

    def __iter__(self) -> Iterator[str]:
        from napari_nunext.commands.export import SNAPSHOT, TRAINING
        from napari_nunext.store.exports.formats import export_formats

        yield TRAINING
        yield from (each.name for each in export_formats())
        yield SNAPSHOT
