"""How long a search will still take: first its windows, then the outlines of what it found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Pace:
    """Measures the steps of a search while it goes on.

    Parameters
    ----------
    clock : callable
        Seconds, from any start.
    """

    clock: Callable[[], float] = time.monotonic
    windows: int = 0
    windows_done: int = 0
    outlines: int = 0
    """How many nuclei are to be outlined; 0 before their turn, and where none are wanted."""
    outlines_done: int = 0
    _began: float = field(default=0.0, repr=False)

    def begin(self, windows: int) -> None:
        """The search has begun."""
        self.windows, self._began = windows, self.clock()

    def window_done(self, done: int, total: int) -> None:
        """Another window was searched."""
        self.windows_done, self.windows = done, total

    def begin_outlines(self, nuclei: int) -> None:
        """All windows are searched; these nuclei are outlined next."""
        self.outlines, self._began = nuclei, self.clock()

    @property
    def searched(self) -> bool:
        """Whether every window is."""
        return 0 < self.windows <= self.windows_done

    def seconds_left(self) -> float | None:
        """Until the end of what is under way; None while its pace is not known.

        While windows are searched that is the search alone: how many nuclei there will be to
        outline, nobody knows.
        """
        done, total = self.windows_done, self.windows
        if self.searched:
            done, total = self.outlines_done, self.outlines
        if not done:
            return None
        return (self.clock() - self._began) / done * max(total - done, 0)
