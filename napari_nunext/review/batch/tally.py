"""How far a batch is: images, windows a second, and how long it will still take."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_OVER_S = 60.0
"""Windows a second are those of the last minute."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is."""

    images: int
    searched: int = 0
    """Images that were searched to their end."""
    known: int = 0
    """Images that had been searched before."""
    repeated: int = 0
    """Images whose content another one has."""
    failed: int = 0
    """Images that cannot be searched, or only in parts."""
    windows: int = 0
    """Windows that were searched in this batch."""
    windows_failed: int = 0
    """Windows that could not be read."""
    windows_per_s: float = 0.0
    seconds_left: float | None = None
    """None while nobody knows."""
    image: str = ""
    """Of which there is news."""
    image_windows_done: int = 0
    image_windows: int = 0

    @property
    def ended(self) -> int:
        """Images of which no more is to come."""
        return self.searched + self.known + self.repeated + self.failed

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Image:
    name: str
    before: int
    """Windows that were done before this batch took it up."""
    done: int
    windows: int


class Tally:
    """Counts what a batch does. Safe between threads.

    Parameters
    ----------
    images : int
        How many there are.
    clock : callable
        Seconds, from any start.
    """

    def __init__(self, images: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._progress = BatchProgress(images)
        self._under_way: dict[object, _Image] = {}
        self._windows_of_ended = 0
        self._images_ended = 0
        """Of those whose windows were counted."""
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def begin(self, image: object, name: str, done: int, windows: int) -> None:
        """An image is searched, or gone on with."""
        with self._lock:
            known = self._under_way.get(image)
            before = done if known is None else known.before + done - known.done
            self._under_way[image] = _Image(name, before, done, windows)

    def follow(self, image: object, done: int) -> BatchProgress:
        """So many of its windows are done."""
        with self._lock:
            its = self._under_way[image]
            new, its.done = done - its.done, done
            self._progress = replace(
                self._progress,
                windows=self._progress.windows + new,
                image=its.name,
                image_windows_done=done,
                image_windows=its.windows,
            )
            return self._now()

    def drop(self, image: object) -> None:
        """An image is put off: it counts as one that nobody has looked at."""
        with self._lock:
            self._under_way.pop(image, None)

    def end(
        self,
        image: object,
        *,
        searched: bool = False,
        known: bool = False,
        repeated: bool = False,
        failed: bool = False,
        windows_failed: int = 0,
        name: str = "",
    ) -> BatchProgress:
        """Nothing more comes of an image."""
        with self._lock:
            its = self._under_way.pop(image, None)
            if its is not None:
                self._windows_of_ended += its.windows - its.before
                self._images_ended += 1
                name = its.name
            p = self._progress
            self._progress = replace(
                p,
                searched=p.searched + searched,
                known=p.known + known,
                repeated=p.repeated + repeated,
                failed=p.failed + failed,
                windows_failed=p.windows_failed + windows_failed,
                image=name,
                image_windows_done=0 if its is None else its.done,
                image_windows=0 if its is None else its.windows,
            )
            return self._now()

    @property
    def progress(self) -> BatchProgress:
        """How far it is."""
        with self._lock:
            return self._now()

    def _now(self) -> BatchProgress:
        now, p = self._clock(), self._progress
        if now > self._marks[-1][0]:
            self._marks.append((now, p.windows))
        while len(self._marks) > 2 and self._marks[1][0] <= now - RATE_OVER_S:
            self._marks.popleft()
        since, windows = self._marks[0]
        rate = (p.windows - windows) / (now - since) if now > since else 0.0
        left = self._windows_left(max(p.images - p.ended - len(self._under_way), 0))
        seconds_left = None if left is None or not rate else left / rate
        return replace(p, windows_per_s=rate, seconds_left=0.0 if left == 0 else seconds_left)

    def _windows_left(self, not_begun: int) -> float | None:
        """Windows to come: images that nobody looked at yet are taken to be like the others."""
        here = sum(its.windows - its.done for its in self._under_way.values())
        seen = self._images_ended + len(self._under_way)
        if not not_begun:
            return here
        if not seen:
            return None
        all_windows = self._windows_of_ended + sum(
            its.windows - its.before for its in self._under_way.values()
        )
        return here + not_begun * all_windows / seen
