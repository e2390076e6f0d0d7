"""What a server can find wrong with itself."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

GIB = 2**30
LEAST_DISK_BYTES = GIB
LEAST_MEMORY_BYTES = GIB // 2
LONG_STEP_S = 120.0
"""A step of a model takes milliseconds to seconds; loading a large one, a minute."""


def free_disk_bytes() -> int | None:
    """Room where uploads are decoded; None if it cannot be told."""
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free
    except OSError:  # taken away, or nowhere that could be written
        return None


def free_memory_bytes() -> int | None:
    """Memory that programs could still take; None where the system does not tell."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def problems(
    *,
    died: str,
    step_s: float,
    out_of_memory: bool,
    default_problem: str | None,
    away: Iterable[str | None],
    disk_bytes: int | None,
    memory_bytes: int | None,
) -> list[str]:
    """What is wrong, a sentence each that says what to do.

    Parameters
    ----------
    died : str
        How the server ended that this one replaces; empty if there was none.
    step_s : float
        For how long the model's present step has been going on.
    out_of_memory : bool
        Whether the last work ended for want of memory.
    default_problem : str, optional
        Why the default model could not be loaded.
    away : iterable of str
        Of each model whose own process is not there, what is the matter.
    disk_bytes, memory_bytes : int, optional
        Free space; None where that cannot be told.
    """
    found = [died] if died else []
    if disk_bytes is None or disk_bytes < LEAST_DISK_BYTES:
        left = "cannot be written" if disk_bytes is None else f"has {_mib(disk_bytes)} left"
        found.append(
            f"The server's disk for temporary files {left}: images cannot be taken in. "
            "Free some space there."
        )
    if out_of_memory:
        found.append(
            "The last work ended for want of memory. Close other programs there, or choose a "
            "smaller model."
        )
    elif memory_bytes is not None and memory_bytes < LEAST_MEMORY_BYTES:
        found.append(
            f"The server's machine has {_mib(memory_bytes)} of memory left. Close other "
            "programs there, or choose a smaller model."
        )
    if default_problem is not None:
        found.append(default_problem)
    found += dict.fromkeys(problem for problem in away if problem is not None)
    if step_s > LONG_STEP_S:
        found.append(
            f"The model has not moved for {step_s / 60:.0f} min. Restart the server if it stays so."
        )
    return found


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"
