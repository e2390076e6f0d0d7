"""Rows that a command line names, and the evaluations that they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_nunext.core.errors import MALFORMED, InputError


def named_files(text: str) -> tuple[str, list[Path]]:
    """The name and the files of ``NAME=FILE[,FILE]``.

    Raises
    ------
    InputError
        If it is none.
    """
    name, equals, files = text.partition("=")
    if not (name and equals and files):
        raise InputError(f"{text!r} is no row; expected NAME=FILE, or NAME=FILE,FILE.")
    return name, [Path(file) for file in files.split(",")]


def read_evaluation(path: Path, *wanted: str) -> dict[str, Any]:
    """What ``nunext-train ask evaluate --out`` wrote.

    Parameters
    ----------
    path : Path
    *wanted : str
        What it has to have.

    Raises
    ------
    InputError
        If it cannot be read, or has one of these not.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if missing := [key for key in wanted if not found.get(key)]:
            raise ValueError(f"it has no {missing[0]}")
    except (*MALFORMED, OSError) as error:
        raise InputError(
            f"{path.name} has no figures of answers ({error}). Make it with nunext-train ask "
            "evaluate --out."
        ) from error
    return found
