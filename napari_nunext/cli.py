"""The command line of napari-nunext: see ``napari-nunext --help``.

Exit codes: 0 for success, 1 where a check found something wrong, 2 for bad input, said in one line
that begins with ``napari-nunext:``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext import __version__
from napari_nunext.commands.ask_arguments import add_ask
from napari_nunext.commands.detect_arguments import add_detect, detect_command
from napari_nunext.commands.doctor.arguments import add_doctor, doctor_command
from napari_nunext.commands.export_arguments import add_export, export_command
from napari_nunext.commands.serve import (
    add_answerers,
    add_key,
    add_serve,
    key_command,
    serve_command,
)
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.process.options import BAD_INPUT, Parser, mpp, number, one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Run: TypeAlias = Callable[[argparse.Namespace], int]
    Add: TypeAlias = Callable[[argparse.ArgumentParser], None]


PROGRAM = "napari-nunext"
NOT_WELL = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    args = _parser().parse_args(argv)
    command: Run = args.command
    try:
        _check_models(getattr(args, "models", ()))
        return command(args)
    except NunextError as error:
        _say(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}.")
    except KeyboardInterrupt:
        return INTERRUPTED
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description="Find, review and correct nuclei.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (words, run, adding) in COMMANDS.items():
        command = commands.add_parser(name, help=words)
        for add in adding:
            add(command)
        command.set_defaults(command=run)
    return parser


def _check_models(folders: Sequence[Path]) -> None:
    """A folder of models that is not there is a mistyped one."""
    for folder in folders:
        if not folder.exists():
            raise InputError(f"--models {folder} does not exist. Check the name.")


def _add_open(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="image, folder or review project"
    )
    command.add_argument("--project", type=Path, help="file in which the review is kept")
    _add_images(command)
    command.add_argument("--mpp", type=mpp, help="micrometres per pixel of the images")
    add_answerers(command)


def _add_agreement(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as one JSON object, with intervals")


def _add_stain(command: argparse.ArgumentParser) -> None:
    command.add_argument("image", type=Path, help="the image, stained with DAB")
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--project", type=Path, help="whose nuclei are measured, and regions")
    where.add_argument("--nuclei", type=Path, metavar="FILE", help="file of nuclei")
    command.add_argument("--mpp", type=mpp, help="micrometres per pixel of the image")
    command.add_argument(
        "--cut-off",
        type=lambda said: said if said == "suggested" else number(said),
        metavar="OD",
        help="optical density from which on a nucleus is positive, or 'suggested' (default: what "
        "was set in the project, else 0.2)",
    )
    command.add_argument(
        "--grades",
        type=number,
        nargs=3,
        metavar="OD",
        help="where weak, moderate and strong begin (default: what was set in the project, else "
        "0.2 0.4 0.6)",
    )
    command.add_argument(
        "--radius",
        type=number,
        default=2.0,
        metavar="UM",
        help="of the disc around a nucleus that has no outline, um (default: 2)",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="nuclei as .csv or .geojson")
    command.add_argument("--json", action="store_true", help="as one JSON object")


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="file of nuclei, folder of them, or folder that an export of training data made",
    )
    command.add_argument(
        "--as",
        dest="role",
        choices=("corrections", "predictions"),
        help="merge them as a person's corrections, or show them as another program's predictions "
        "(default: corrections if they come from a review, else predictions)",
    )
    command.add_argument(
        "--image",
        default="",
        help="the image they are of: its name in the project, or a file, which joins the project "
        "(default: the image that each file is named after)",
    )
    command.add_argument("--mpp", type=mpp, help="micrometres per pixel of an image that joins")
    command.add_argument("--annotator", help="whose corrections they are (default: you)")
    command.add_argument("--source", default="", help="what found them (default: as the file says)")
    command.add_argument(
        "--absent-deleted",
        action="store_true",
        help="delete nuclei of the project that a file exported from it no longer holds",
    )
    command.add_argument(
        "--leave-outside-out",
        action="store_true",
        help="take what lies inside the image of a file that reaches beyond it",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what would happen, and write nothing"
    )


def _add_project(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", type=Path, help="the project's file")


def _add_backup(command: argparse.ArgumentParser) -> None:
    command.add_argument("to", type=Path, metavar="TO", help="the new file")


def _add_models(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a checkpoint, or a folder of them; may be given again",
    )


def _add_images(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="where the images lie, if they were moved; may be given again",
    )


def _open(args: argparse.Namespace) -> int:
    from napari_nunext.commands.open import open_images

    open_images(
        args.paths, args.project, args.mpp, image_folders=args.images, answerers=args.answerer
    )
    return 0


def _ask_image(args: argparse.Namespace) -> int:
    import json

    from napari_nunext.commands.ask import AskOptions, ask_image, question_of, read_list

    options = AskOptions(
        args.answerer,
        args.project,
        args.mpp,
        args.server,
        args.budget,
        args.allocate,
        args.max_tokens,
        tuple(args.models),
    )
    asked = [question_of(args)] if args.list is None else read_list(args.list)
    failed = ask_image(
        args.image,
        asked,
        options,
        tell=lambda said: _tell(json.dumps(said, ensure_ascii=False)),
        say=_say,
    )
    return BAD_INPUT if failed else 0


def _agreement(args: argparse.Namespace) -> int:
    from napari_nunext.commands.agreement import say_agreement

    say_agreement(args.project, as_json=args.json, tell=_tell)
    return 0


def _stain(args: argparse.Namespace) -> int:
    from napari_nunext.commands.stain import StainOptions, stain_image

    options = StainOptions(
        project=args.project,
        nuclei=args.nuclei,
        mpp=args.mpp,
        radius_um=args.radius,
        cut_off=args.cut_off,
        grades=args.grades,
        out=args.out,
    )
    stain_image(args.image, options, as_json=args.json, tell=_tell, say=_say)
    return 0


def _export(args: argparse.Namespace) -> int:
    written = export_command(args)
    for problem in written.problems:
        _say(f"Left out: {problem}")
    for note in written.notes:
        _say(note)
    print(written.words)
    return NOT_WELL if written.problems else 0


def _import(args: argparse.Namespace) -> int:
    from napari_nunext.commands.export import reader_name
    from napari_nunext.commands.importing import ImportOptions, import_files

    options = ImportOptions(
        image=args.image,
        role=args.role or "usual",
        source=args.source.strip(),
        image_folders=args.images,
        mpp=args.mpp,
        absent_deleted=args.absent_deleted,
        leave_outside_out=args.leave_outside_out,
        dry_run=args.dry_run,
    )
    annotator = reader_name() if args.annotator is None else args.annotator
    failed = import_files(args.project, args.files, annotator, options, tell=_tell, warn=_say)
    return BAD_INPUT if failed else 0


def _check(args: argparse.Namespace) -> int:
    from napari_nunext.commands.check import check_project

    return 0 if check_project(args.project, args.images, tell=_tell) else NOT_WELL


def _backup(args: argparse.Namespace) -> int:
    from napari_nunext.commands.check import back_up

    _tell(back_up(args.project, args.to))
    return 0


def _models(args: argparse.Namespace) -> int:
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.serving.settings import model_folders

    catalog = Catalog(model_folders(args.models))
    for entry in catalog.entries():
        if entry.problem is not None:
            print(f"{entry.id}\t{entry.kind}\tcannot be used: {entry.problem}")
            continue
        if entry.info is None:
            origin = "" if entry.offer is None else entry.offer.origin
            print(f"{entry.id}\t{entry.kind}\tof {origin}, described once it is loaded")
            continue
        about = f"{entry.info.name}, {entry.info.mpp:g} um/px, {entry.info.window_px} px windows"
        if entry.info.parameters is not None:
            about += f", {entry.info.parameters / 1e6:.1f} M parameters"
        print(f"{entry.id}\t{entry.kind}\t{about}")
    return 0


def _detect(args: argparse.Namespace) -> int:
    return detect_command(args, _say, _ask)


def _serve(args: argparse.Namespace) -> int:
    return serve_command(args, _tell)


def _key(args: argparse.Namespace) -> int:
    return key_command(args, _tell)


def _doctor(args: argparse.Namespace) -> int:
    return 0 if doctor_command(args, _tell) else NOT_WELL


def _tell(line: str) -> None:
    """A line of a result, at once."""
    print(line, flush=True)


def _say(line: str) -> None:
    """A line for the person at the terminal; standard output stays for results."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)  # over a line of progress
    print(f"{PROGRAM}: {one_line(line)}", file=sys.stderr, flush=True)


def _ask(question: str) -> bool:
    """Ask the person at the terminal; no, where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{PROGRAM}: {question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMANDS: dict[str, tuple[str, Run, tuple[Add, ...]]] = {
    "open": ("open images in napari, to review", _open, (_add_open,)),
    "detect": (
        "find nuclei, and write them as GeoJSON or into a project",
        _detect,
        (add_detect, _add_models),
    ),
    "ask": ("ask about an image; answers are JSON, one a line", _ask_image, (add_ask, _add_models)),
    "agreement": (
        "say whether readers agree, and which answerer they prefer",
        _agreement,
        (_add_project, _add_agreement),
    ),
    "stain": (
        "say how brown nuclei are: labelling index and H-score, with intervals",
        _stain,
        (_add_stain,),
    ),
    "export": ("export a review project", _export, (add_export,)),
    "import": (
        "take nuclei from GeoJSON, CSV, COCO or label images, or an export, into a project",
        _import,
        (_add_project, _add_import, _add_images),
    ),
    "check": (
        "check that a project is whole and its images are the reviewed ones",
        _check,
        (_add_project, _add_images),
    ),
    "backup": ("copy a project, open or not, into one file", _backup, (_add_project, _add_backup)),
    "serve": ("run a model server for this or other machines", _serve, (add_serve, _add_models)),
    "key": ("make a key with which a person may use a server", _key, (add_key,)),
    "doctor": ("say what is missing on this machine", _doctor, (add_doctor,)),
    "models": ("list the models that are found", _models, (_add_models,)),
}
"""In the order in which they are listed: what people are told of each, what runs, its arguments."""


if __name__ == "__main__":
    sys.exit(main())
