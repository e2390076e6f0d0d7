"""JSON from elsewhere, which may be anything, and JSON of ours."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = b"\x1f\x8b"
"""With which compressed files begin."""

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Both halves of a character, a half alone, or any other escape."""


def parse_json(data: bytes | str) -> Any:
    """Data of JSON text, UTF-8 with or without a mark at its beginning.

    Halves of characters (lone surrogates) become U+FFFD: they can be neither shown nor stored.

    Raises
    ------
    ValueError
        If it is no JSON, or nested so deep that it cannot be read.
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPE.sub(_whole, text)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_json(path: Path, what: str, then: str) -> Any:
    """Data of a JSON file, plain or compressed by gzip; `what` it should be, and `then` to do.

    Raises
    ------
    RecordError
        If it cannot be read, or is no JSON; names the file.
    """
    with reading_json(path, what, then):
        raw = path.read_bytes()
        if raw.startswith(GZIP):
            raw = gzip.decompress(raw)
        return parse_json(raw)


@contextmanager
def reading_json(path: Path, what: str, then: str) -> Iterator[None]:
    """Say of a JSON file what went wrong with it, as `read_json` does."""
    try:
        yield
    except RecordError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordError(f"{path.name} is damaged: gzip cannot open it ({error}).") from error
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RecordError(f"{path.name} is not {what} ({error}). {then}") from error


def json_text(value: object) -> str:
    """JSON as all our files of nuclei have it: UTF-8, and no NaN, which raises `ValueError`."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["half"] else escape.group()
