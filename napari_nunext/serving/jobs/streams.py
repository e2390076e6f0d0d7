"""Detections under way: a worker thread produces their events, the event loop sends them on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.serving.protocol import Done, Failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from napari_nunext.serving.jobs.fair_queue import Job
    from napari_nunext.serving.protocol import DetectEvent

REMEMBERED_CANCELS = 1000
"""Runs cancelled before they arrived of which the server remembers the name."""


class Run:
    """One stream of events, from a worker thread to a caller.

    Lines that the caller is too slow to take are kept: a run's points are few against its pixels,
    and waiting would hold up everybody else's models.
    """

    def __init__(self, id_: str, *, max_run_s: float, keepalive_s: float) -> None:
        self.id = id_
        self.job: Job | None = None
        """What produces the events; None where nothing is to be done."""
        self.give_up: asyncio.TimerHandle | None = None
        """Ends the run if its turn does not come in time."""
        self._max_run_s = max_run_s
        self._keepalive_s = keepalive_s
        self._deadline = float("inf")
        self._cancelled = threading.Event()
        self._ended = False
        self._lines: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        """Stop at the next step. From any thread."""
        self._cancelled.set()

    def begin(self) -> None:
        """The run's turn has come: its time counts from here."""
        self._deadline = time.monotonic() + self._max_run_s

    def cancelled(self) -> bool:
        """Whether to stop: somebody asked, hung up, or the time is over."""
        return self._cancelled.is_set() or self.timed_out()

    def timed_out(self) -> bool:
        """Whether the run has used up its time."""
        return time.monotonic() > self._deadline

    def emit(self, event: DetectEvent) -> None:
        """Send an event. From the worker thread; after `Done` or `Failed` there is nothing more."""
        self._lines.append(event.model_dump_json().encode() + b"\n")
        if isinstance(event, Done | Failed):
            self._ended = True
        with suppress(RuntimeError):  # the loop has ended, and nobody reads any more
            self._loop.call_soon_threadsafe(self._news.set)

    async def lines(self) -> AsyncIterator[bytes]:
        """The stream, until the last event."""
        while True:
            try:
                await asyncio.wait_for(self._news.wait(), self._keepalive_s)
            except TimeoutError:
                yield b"\n"
                continue
            self._news.clear()
            ended = self._ended  # before taking lines: the last is there when this is set
            if self._lines:
                yield b"".join(self._lines.popleft() for _ in range(len(self._lines)))
            if ended:
                return


class Runs:
    """The runs that wait or work, by id. For the event loop's thread, but for `open_runs`."""

    def __init__(self, *, max_run_s: float, keepalive_s: float) -> None:
        self._max_run_s = max_run_s
        self._keepalive_s = keepalive_s
        self._runs: dict[str, Run] = {}
        self._cancelled_early: OrderedDict[str, None] = OrderedDict()

    def open(self, id_: str | None) -> Run:
        """Make a run; a name that was cancelled before gives one that is cancelled."""
        run = Run(id_ or str(uuid4()), max_run_s=self._max_run_s, keepalive_s=self._keepalive_s)
        if run.id in self._cancelled_early:
            del self._cancelled_early[run.id]
            run.cancel()
        self._runs[run.id] = run
        return run

    def close(self, run: Run) -> None:
        """Forget a run that has ended."""
        self._runs.pop(run.id, None)

    def get(self, id_: str) -> Run | None:
        """The run of this id, or None where there is none (any more)."""
        return self._runs.get(id_)

    def cancel_early(self, id_: str) -> None:
        """Remember to stop a run that has yet to arrive."""
        self._cancelled_early[id_] = None
        while len(self._cancelled_early) > REMEMBERED_CANCELS:
            self._cancelled_early.popitem(last=False)

    def open_runs(self) -> list[Run]:
        """All of them. From any thread."""
        return list(self._runs.values())
