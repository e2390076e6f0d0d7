"""JSON from elsewhere, which may be anything, and JSON of ours."""

from __future__ import annotations

import json
import re
from typing import Any

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


def json_text(value: object) -> str:
    """JSON as all our files of nuclei have it: UTF-8, and no NaN, which raises `ValueError`."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["half"] else escape.group()
