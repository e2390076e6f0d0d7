"""What whoever trains is told of its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where a run is kept, who hears of it, and whether it goes on."""

    folder: RunFolder
    progress: Progress
    stop: Callable[[], bool]
    """Asked after every step; once it is True, the state is saved and training ends."""
