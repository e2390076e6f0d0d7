"""Options of the command lines: what is no usable value is refused in one line, before any work."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.sentences import is_text

BAD_INPUT = 2
"""Exit code of bad input."""
LARGEST_WHOLE = 2**63 - 1
LARGEST_PORT = 65_535


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, and knows what a usable value is.

    ``type=int`` means a whole number from 0 up that fits 63 bits, ``type=float`` a finite number
    from 0 up, and ``type=Path`` a path that is not empty: no option of ours means anything else.
    Subcommands' parsers are of this class too.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.register("type", int, whole)
        self.register("type", float, number)
        self.register("type", Path, path)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse words that are no text before they are told to anybody."""
        for word in sys.argv[1:] if args is None else args:
            if not is_text(word):
                self.error(f"{word!a} is no text: rename it")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say it, and exit."""
        program = self.prog.partition(" ")[0]
        sys.stderr.write(f"{program}: {one_line(message)}. See {self.prog} --help.\n")
        sys.exit(BAD_INPUT)


def one_line(message: object) -> str:
    """What is said to a person at a terminal, whatever the names in it hold."""
    return " ".join(str(message).split())


def whole(text: str, least: int = 0, most: int = LARGEST_WHOLE) -> int:
    """A whole number within bounds."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        upper = "" if most == LARGEST_WHOLE else f" to {most}"
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no whole number from {least}{upper or ' up'}"
        )
    return value


def positive(text: str) -> int:
    """A whole number from 1 up."""
    return whole(text, least=1)


def port(text: str) -> int:
    """A port of this machine; 0 for any."""
    return whole(text, most=LARGEST_PORT)


def number(text: str) -> float:
    """A finite number from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from 0 up")
    return value


def above_zero(text: str) -> float:
    """A finite number of more than 0."""
    if not (value := number(text)):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of more than 0")
    return value


def mpp(text: str) -> float:
    """Micrometres per pixel that a microscope could give."""
    # Here, for it brings numpy: the model server is launched before anything large is imported.
    from napari_nunext.core.geometry import MPP_RANGE, check_mpp

    low, high = MPP_RANGE
    try:
        return check_mpp(number(text))
    except (CalibrationError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no scale: expected {low:g} to {high:g} um/px, "
            "typically 0.5 (20x) or 0.25 (40x)"
        ) from error


def path(text: str) -> Path:
    """A path, of something that need not be there."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError("an empty name is no path")
    return Path(text)
