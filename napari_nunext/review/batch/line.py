"""The images of a batch that are open: how many may be, and whose turn at which server it is."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.review.batch.stations import Station
    from napari_nunext.review.batch.taking import Job


class Line:
    """Images between the thread that opens them and those that search them.

    Parameters
    ----------
    stations : sequence of Station
    bytes_in_flight : int
        Pixels of all open images together; one that is larger is alone.
    is_over : callable
        Whether nothing is to be searched any more; whoever makes it so calls `wake`.
    """

    def __init__(
        self, stations: Sequence[Station], bytes_in_flight: int, is_over: Callable[[], bool]
    ) -> None:
        self._stations = stations
        self._bytes_in_flight = bytes_in_flight
        self._is_over = is_over
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._open: dict[ImageSource, int] = {}
        """Images that wait or are searched, and the memory that they take."""
        self._away: dict[Path, float] = {}
        """Files of drives that are away, and since when."""
        self._closed = False

    def wake(self) -> None:
        """Something has changed that whoever waits should look at."""
        with self._changed:
            self._changed.notify_all()

    # For who opens images

    def make_room(self, image: ImageSource) -> None:
        """Wait until an image may be open beside the others."""

        def has_room() -> bool:
            fits = sum(self._open.values()) + image.held_bytes <= self._bytes_in_flight
            ahead = len(self._jobs) < len(self._stations)
            return self._is_over() or not self._open or (fits and ahead)

        with self._changed:
            self._changed.wait_for(has_room)
            self._open[image] = image.held_bytes

    def add(self, job: Job) -> None:
        """An image is to be searched; it is open."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def close(self) -> None:
        """No more images come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def away(self) -> dict[Path, float]:
        """Wait for files that are away, or until none can be any more; those there are, and since.

        Times are those of `time.monotonic`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_over() or self._away or not self._open)
            return dict(self._away)

    def put_off(self, path: Path) -> None:
        """A file is away."""
        with self._changed:
            self._away.setdefault(path, time.monotonic())
            self._changed.notify_all()

    def take_up(self, path: Path) -> None:
        """It is away no longer, or not waited for."""
        with self._changed:
            self._away.pop(path, None)

    # For who searches them

    def next(self, station: Station, wait_for: Callable[[Station], None]) -> Job | None:
        """The next image for a server; None when there will be no more.

        Parameters
        ----------
        station : Station
        wait_for : callable
            Waits for a server that is away; called by one of its threads at a time.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._has_news_for(station))
                if self._is_over() or station.is_given_up:
                    return None
                if station.is_up:
                    return self._jobs.popleft() if self._jobs else None
            if station.waits.acquire(blocking=False):
                try:
                    wait_for(station)
                finally:
                    station.waits.release()
                    self.wake()

    def put_back(self, job: Job) -> None:
        """An image is to be searched on, by whoever is free."""
        with self._changed:
            self._jobs.appendleft(job)
            self._changed.notify_all()

    def leave(self, image: ImageSource) -> None:
        """Nothing more comes of an image."""
        with self._changed:
            self._open.pop(image, None)
            self._changed.notify_all()

    def _has_news_for(self, station: Station) -> bool:
        none_left = self._closed and not self._open
        if self._is_over() or station.is_given_up or none_left:
            return True
        if not station.is_up:
            return not station.waits.locked()
        return bool(self._jobs)
