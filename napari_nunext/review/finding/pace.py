"""How far a search is, and how long it will still take: its windows and its outlines together."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.serving.protocol import Masks, Started, WindowDone

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.serving.client.found import Found
    from napari_nunext.serving.protocol import DetectEvent


@dataclass(slots=True)
class _Rate:
    """Seconds a piece."""

    seconds: float = 0.0
    pieces: int = 0

    def each(self) -> float | None:
        """None while nothing is done."""
        return self.seconds / self.pieces if self.pieces else None


class Pace:
    """Measures a search while its events come.

    Outlines are drawn between the windows, so time is booked to what it brought: up to masks it
    went into outlines, up to anything else into windows.

    Parameters
    ----------
    found : Found
        What the same events amount to; it takes each of them first.
    clock : callable
        Seconds, from any start.
    """

    def __init__(self, found: Found, clock: Callable[[], float] = time.monotonic) -> None:
        self._found = found
        self._clock = clock
        self._last = clock()
        self.progress: float | None = None
        """Part of the windows, and of the outlines where they are wanted; None before both. What
        was once done stays so, though there are more outlines than it seemed."""
        self._windows = _Rate()
        self._under_way_s = 0.0
        self._outlines = _Rate()
        self._loading = True
        """Whether the segmenter was loaded in that time: true of the first masks alone."""

    def take(self, event: DetectEvent) -> None:
        """Book the time since the event before."""
        now = self._clock()
        took_s, self._last = now - self._last, now
        self.progress = max(self.progress or 0.0, self._part())
        if isinstance(event, Started):
            return  # it waited for its turn
        if isinstance(event, Masks):
            if self._loading and self._outlines.pieces:
                self._outlines, self._loading = _Rate(), False
            self._outlines.seconds += took_s
            self._outlines.pieces += len(event.masks)
        else:
            self._under_way_s += took_s
            if isinstance(event, WindowDone):
                self._windows.seconds += self._under_way_s
                self._windows.pieces += 1
                self._under_way_s = 0.0

    @property
    def outlines(self) -> int:
        """How many nuclei are being outlined; 0 before the first of them and where none are."""
        found = self._found
        if not found.outlines_wanted or not (found.outlined or found.searched):
            return 0
        return found.count

    def seconds_left(self) -> float | None:
        """Until the end of windows and outlines; None while the pace of either is not known.

        The windows to come are taken to hold as many nuclei as those that are done.
        """
        found = self._found
        windows_left = max(found.windows - found.windows_done - len(found.windows_failed), 0)
        outlines_left = 0.0
        if found.outlines_wanted:
            outlines_left = max(self._outlines_in_all() - found.outlined, 0.0)
        left_s = 0.0
        for left, rate in ((windows_left, self._windows), (outlines_left, self._outlines)):
            each_s = rate.each()
            if left and each_s is None:
                return None
            left_s += left * (each_s or 0.0)
        return left_s if found.windows_done else None

    def _part(self) -> float:
        found = self._found
        windows = found.windows_done / found.windows if found.windows else 0.0
        if not found.outlines_wanted:
            return windows
        return (windows + min(found.outlined / max(self._outlines_in_all(), 1.0), windows)) / 2

    def _outlines_in_all(self) -> float:
        found = self._found
        if not found.windows_done:
            return 0.0
        return found.count * max(found.windows / found.windows_done, 1.0)
