"""What ``napari-nunext detect`` is asked, and how its progress is shown.

What searches is imported when it does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.asked import Search
from napari_nunext.core.process.options import BAD_INPUT, number, positive
from napari_nunext.core.process.parameters import add_parameters, given_to
from napari_nunext.core.process.precision import PRECISION_HELP, PRECISIONS
from napari_nunext.core.process.ray_cluster import RayCluster
from napari_nunext.core.sentences import left

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_nunext.commands.detect import Progress
    from napari_nunext.review.batch.tally import BatchProgress

EVERY_S = 1.0
"""How often a batch says how far it is."""


def add_detect(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``detect``, apart from where models lie."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image or folder")
    add_parameters(parser, Search)
    into = parser.add_mutually_exclusive_group(required=True)
    into.add_argument("--out", type=Path, metavar="DIR", help="output folder, a GeoJSON an image")
    into.add_argument(
        "--project",
        type=Path,
        metavar="FILE",
        help="review project instead: every window is kept as it is done, and the same command "
        "goes on after anything (see docs/batch.md)",
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=(),
        metavar="NAME,NAME",
        help="search for these categories alone: a model that has learned it is asked for them, of "
        "any other the rest is left out",
    )
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="PATH",
        help="search in the polygons of a GeoJSON file alone, for example QuPath's annotations; of "
        "several images, a folder with a file for each, called as the image is. Annotations of the "
        "class Ignore* are left out",
    )
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="with --project: a model server to search with, its token taken from "
        "NAPARI_NUNEXT_TOKEN; given again, images are shared out (default: one of our own)",
    )
    parser.add_argument(
        "--ray",
        action="store_true",
        help="with --project: the workers of a Ray cluster search (see docs/batch.md)",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="of the cluster (default: RAY_ADDRESS, else this machine's)",
    )
    parser.add_argument(
        "--ray-workers",
        type=positive,
        metavar="N",
        help="processes that search (default: one a core, or one a GPU)",
    )
    parser.add_argument(
        "--ray-gpus", type=number, metavar="N", help="of each worker (default: 0), for example 0.5"
    )
    parser.add_argument("--dtype", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    parser.add_argument(
        "--yes", action="store_true", help="search at a scale that looks wrong without asking"
    )
    parser.add_argument(
        "--progress",
        choices=("line", "jsonl"),
        default="line",
        help="with --project: a line for people (default), or JSON Lines on standard output",
    )


def detect_command(
    args: argparse.Namespace, say: Callable[[str], None], ask: Callable[[str], bool]
) -> int:
    """Search, and return the exit code; raises as the commands do."""
    failed = _into_folder(args, say, ask) if args.project is None else _into_project(args, say)
    if failed:
        names = ", ".join(dict.fromkeys(path.name for path in failed))
        say(f"Not searched: {names}.")
        return BAD_INPUT
    return 0


def _into_folder(
    args: argparse.Namespace, say: Callable[[str], None], ask: Callable[[str], bool]
) -> list[Path]:
    from napari_nunext.commands.detect import detect_images
    from napari_nunext.commands.resuming import DetectOptions

    given = {"--server": args.server, "--ray": _ray(args)}
    given["--progress jsonl"] = args.progress == "jsonl"
    for name, value in given.items():
        if value:
            raise InputError(f"{name} is for a project: give --project FILE instead of --out.")
    options = DetectOptions(
        **given_to(Search, args),
        out_dir=args.out,
        model_paths=tuple(args.models),
        precision=args.dtype,
        only=args.only,
        regions=args.regions,
    )
    return detect_images(
        args.paths,
        options,
        say=say,
        progress=_show_progress,
        is_meant=lambda doubt: args.yes or ask(f"{doubt} Search all the same?"),
    )


def _into_project(args: argparse.Namespace, say: Callable[[str], None]) -> list[Path]:
    from napari_nunext.commands.batch import ProjectOptions, detect_into_project

    options = ProjectOptions(
        **given_to(Search, args),
        project=args.project,
        only=args.only,
        regions=args.regions,
        servers=tuple(args.server),
        ray=_ray(args),
        model_paths=tuple(args.models),
        precision=args.dtype,
        although_doubtful=args.yes,
    )
    show = _json_line if args.progress == "jsonl" else _line
    return detect_into_project(args.paths, options, say=say, tell=_Paced(show).take)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _ray(args: argparse.Namespace) -> RayCluster | None:
    """The cluster that is to search."""
    given = {"address": args.ray_address, "workers": args.ray_workers, "gpus": args.ray_gpus}
    given = {name: value for name, value in given.items() if value is not None}
    if not args.ray:
        for name in given:
            raise InputError(f"--ray-{name} says how a Ray cluster searches: give --ray with it.")
        return None
    return RayCluster(**given)


def _show_progress(progress: Progress) -> None:
    """One line that changes, at a terminal; elsewhere one for each image."""
    p = progress
    line = f"[{p.number}/{p.total}] {p.image}: window {p.windows_done} of {p.windows}, "
    line += f"{p.nuclei} nuclei"
    finished = p.windows_done == p.windows
    _show(line, has_ended=finished)


def _show(line: str, *, has_ended: bool) -> None:
    """A line on standard error that changes, at a terminal; elsewhere the last of them."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if has_ended else ""))
    elif has_ended:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class _Paced:
    """Shows that an image has ended at once, and anything else each second.

    Parameters
    ----------
    show : callable
        Told how far the batch is, and whether an image has ended.
    """

    def __init__(self, show: Callable[[BatchProgress, bool], None]) -> None:
        self._show = show
        self._last_s = -EVERY_S
        self._ended = 0

    def take(self, progress: BatchProgress) -> None:
        """Show it, if it is time."""
        now_s = time.monotonic()
        has_ended = progress.ended > self._ended
        if has_ended or now_s - self._last_s >= EVERY_S:
            self._last_s, self._ended = now_s, progress.ended
            self._show(progress, has_ended)


def _json_line(progress: BatchProgress, _: bool) -> None:
    """For machines: a line of JSON on standard output."""
    sys.stdout.write(json.dumps(progress.to_json(), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _line(progress: BatchProgress, has_ended: bool) -> None:
    """For people: a line on standard error that changes; without a terminal one for each image."""
    p = progress
    line = f"[{p.ended}/{p.images}] {p.image}"
    if p.image_windows:
        line += f": window {p.image_windows_done} of {p.image_windows}"
    line += f", {p.windows_per_s:.1f} windows a second" + left(p.seconds_left)
    _show(line, has_ended=has_ended)
