"""What was looked at and what was seen, and a process of its own to look with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBE_TIMEOUT_S = 120.0
"""Importing torch from a slow drive takes a minute."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What it is about, for programs: ``"qt"``."""
    passed: bool
    words: str
    """What was seen; where it is not well, also what was expected and what to do."""
    needed: bool = True
    """Whether the window and detection do without it."""


class ProbeError(Exception):
    """A program that failed; its words are the last line it wrote.

    Parameters
    ----------
    words : str
    lines : sequence of str
        All that it wrote.
    """

    def __init__(self, words: str, lines: Sequence[str] = ()) -> None:
        super().__init__(words)
        self.lines = tuple(lines)


def probe(code: str, environment: Mapping[str, str] | None = None) -> Any:
    """What a program in a process of its own prints last, as JSON.

    A broken library raises, aborts or crashes whoever imports it: so none is imported here.

    Parameters
    ----------
    code : str
        Python.
    environment : mapping of str to str, optional
        Variables to set for it.

    Raises
    ------
    ProbeError
        If it fails, or says nothing that can be read.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | dict(environment or {}),
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"it did not end within {PROBE_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise ProbeError(f"Python could not be started ({error.strerror})") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        words = lines[-1] if lines else f"it ended with code {done.returncode}"
        raise ProbeError(words, lines)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ProbeError("it printed nothing that can be read") from error
