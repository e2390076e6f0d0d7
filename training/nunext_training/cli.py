"""``nunext-train``: every command of training, one module each.

Bad input gives one line and exit code 2; training that cannot go on, one line and 1; training that
was interrupted and can be resumed, 130.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from napari_nunext import __version__
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.process.options import Parser, one_line
from nunext_training.commands import ablate as ablate_command
from nunext_training.commands import ask as ask_command
from nunext_training.commands import atomic as atomic_command
from nunext_training.commands import build as build_command
from nunext_training.commands import evaluate as evaluate_command
from nunext_training.commands import extend as extend_command
from nunext_training.commands import import_sets as import_command
from nunext_training.commands import quantise as quantise_command
from nunext_training.commands import recipes as recipes_command
from nunext_training.commands import release as release_command
from nunext_training.commands import report as report_command
from nunext_training.commands import rft as rft_command
from nunext_training.commands import segmenter as segmenter_command
from nunext_training.commands import sft as sft_command
from nunext_training.commands.options import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS = (
    build_command,
    extend_command,
    import_command,
    recipes_command,
    sft_command,
    rft_command,
    atomic_command,
    segmenter_command,
    ask_command,
    evaluate_command,
    report_command,
    ablate_command,
    quantise_command,
    release_command,
)
"""In the order in which they are listed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="nunext-train: %(message)s")
    if getattr(args, "to_hub", None) is None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # checkpoints are folders; nothing is fetched
    try:
        code: int = args.run(args)
    except (InputError, OSError) as error:
        print(f"nunext-train: {one_line(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except NunextError as error:
        print(f"nunext-train: {one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="nunext-train", description="Train NuNext models.")
    parser.add_argument("--version", action="version", version=f"napari-nunext {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
