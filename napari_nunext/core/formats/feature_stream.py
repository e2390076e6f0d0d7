"""Lists in large JSON files, one value after another: the file is never in the memory as a whole.

Those are the features of GeoJSON, and the annotations of COCO.

The standard library's decoder reads one value of a text at a time, so a window over the text that
moves on is enough: 5 s of the processor for 1,000,000 points (ijson, in C, took 6 s).
"""

from __future__ import annotations

import gzip
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_nunext.core.formats.json_text import GZIP, parse_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from typing import TextIO

LARGE_BYTES = 32 * 2**20
"""Files of this size and more are read value by value: their JSON takes ten times as much."""
STEP = 2**20
"""Characters that are read at once, at least: a feature with an outline has some thousand."""

_SPACE = " \t\n\r"
_OF_OTHERS = ("nuc", "cells", "shapes", "images", "annotations")
"""Keys of files that are no GeoJSON, and of what may be one and something else."""


class OtherJsonError(Exception):
    """A file is JSON, but not plainly GeoJSON: it has to be looked at as a whole."""


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A file of text, UTF-8, plain or compressed by gzip."""
    with path.open("rb") as raw:
        is_packed = raw.read(len(GZIP)) == GZIP
    opens = gzip.open if is_packed else open
    with opens(path, "rt", encoding="utf-8-sig") as text:
        yield text


def features_in(file: TextIO) -> Iterator[Any]:
    """The features of a FeatureCollection or of a list of features, in their order.

    Raises
    ------
    OtherJsonError
        If it is something else, or may be. It may have given features before.
    ValueError
        If it is no JSON, from there on.
    """
    text = _Window(file)
    match text.look():
        case "[":
            for number, feature in enumerate(text.items()):
                if number == 0 and isinstance(feature, dict) and "image_id" in feature:
                    raise OtherJsonError
                yield feature
        case "{":
            found = False
            for key in text.keys():  # noqa: SIM118  no mapping
                if key in _OF_OTHERS or (key == "features" and found):
                    raise OtherJsonError
                if key == "features" and text.look() == "[":
                    found = True
                    yield from text.items()
                else:
                    text.value()
            if not found:
                raise OtherJsonError
        case _:
            raise OtherJsonError
    if text.look():
        raise ValueError(f"Extra data after character {text.place}")


def around_lists(file: TextIO, names: Collection[str]) -> dict[str, Any]:
    """A JSON object without what is in some of its lists, which are empty.

    Raises
    ------
    OtherJsonError
        If it is no object, or one of these is no list, or there twice.
    ValueError
        If it is no JSON.
    """
    text, found = _Window(file), dict[str, Any]()
    if text.look() != "{":
        raise OtherJsonError
    for key in text.keys():  # noqa: SIM118  no mapping
        if key not in names:
            found[key] = text.value()
        elif key in found or text.look() != "[":
            raise OtherJsonError
        else:
            found[key] = []
            for _ in text.items():
                pass
    if text.look():
        raise ValueError(f"Extra data after character {text.place}")
    return found


def list_in(file: TextIO, name: str) -> Iterator[Any]:
    """The values of one of the lists that `around_lists` leaves out."""
    text = _Window(file)
    for key in text.keys():  # noqa: SIM118  no mapping
        if key == name:
            yield from text.items()
        else:
            text.value()


_MOST_OF_A_NUMBER = 2
"""Characters at the end of one that are no number yet, as in ``1e-``."""


class _Window:
    """A part of a text, which moves on as values are read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._before = 0
        """Characters that the window has left behind."""
        self._decode = json.JSONDecoder().raw_decode

    @property
    def place(self) -> int:
        """How many characters of the text were read."""
        return self._before + self._at

    def look(self) -> str:
        """The next character that is no space, which stays; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._grow():
                return ""

    def take(self, *wanted: str) -> str:
        """The next character, which has to be one of these."""
        found = self.look()
        if not found or found not in wanted:
            raise ValueError(f"Expecting {' or '.join(wanted)} at character {self.place}")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, whatever it is."""
        self.look()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except RecursionError as error:
                raise ValueError("it is nested too deep") from error
            except json.JSONDecodeError as error:
                if self._grow():
                    continue
                place = self._before + error.pos
                raise ValueError(f"{error.msg} at character {place}") from error
            # "1", "1." and "1e-" are all read as 1: a number may go on where this part ends.
            rest = len(self._text) - end
            if rest <= _MOST_OF_A_NUMBER and not self._text[end:].strip(".eE+-") and self._grow():
                continue
            start, self._at = self._at, end
            if any(self._text.find(half, start, end) >= 0 for half in ("\\ud", "\\uD")):
                return parse_json(self._text[start:end])
            return value

    def items(self) -> Iterator[Any]:
        """The values of a list."""
        self.take("[")
        if self.look() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """The keys of an object; who takes one has to take its value, too."""
        self.take("{")
        if self.look() == "}":
            self._at += 1
            return
        while True:
            if self.look() != '"':
                raise ValueError(f"Expecting a name in quotes at character {self.place}")
            key = self.value()
            self.take(":")
            yield key
            if self.take(",", "}") == "}":
                return

    def _grow(self) -> bool:
        """Read on; false at the end. What is left is doubled, at least: a value may be long."""
        left = self._text[self._at :]
        more = self._file.read(max(STEP, len(left)))
        if not more:
            return False
        self._before += self._at
        self._text, self._at = left + more, 0
        return True
