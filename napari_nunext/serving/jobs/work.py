"""A request under way: the models' thread makes its events, the event loop sends them on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_nunext.serving.protocol import Failed
from napari_nunext.serving.refusals import refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from napari_nunext.serving.jobs.fair_queue import Job
    from napari_nunext.serving.protocol import Message


class Work:
    """The events of one request, and its end.

    Lines that the caller is too slow to take are kept: they are few against the pixels that they
    tell of, and waiting would hold up everybody else's models.

    Parameters
    ----------
    id_ : str
    unbegun : Message
        The last event, if it is stopped before its turn.
    limit_s : float
        How long it may work.
    keepalive_s : float
        How often its stream says that the server is alive.
    """

    def __init__(self, id_: str, unbegun: Message, *, limit_s: float, keepalive_s: float) -> None:
        self.id = id_
        self.unbegun = unbegun
        self.job: Job | None = None
        """What makes the events; None where nothing is to be done."""
        self.give_up: asyncio.TimerHandle | None = None
        """Ends it if its turn does not come in time."""
        self.limit_s = limit_s
        self._keepalive_s = keepalive_s
        self._deadline = float("inf")
        self._cancelled = threading.Event()
        self._sending = threading.Lock()
        self._ended = False
        self._error: BaseException | None = None
        self._lines: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        """Stop at the next step. From any thread."""
        self._cancelled.set()

    def begin(self) -> None:
        """Its turn has come: its time counts from here."""
        self._deadline = time.monotonic() + self.limit_s

    def cancelled(self) -> bool:
        """Whether to stop: somebody asked, hung up, or the time is over."""
        return self._cancelled.is_set() or self.timed_out()

    def timed_out(self) -> bool:
        """Whether it has used up its time."""
        return time.monotonic() > self._deadline

    def send(self, event: Message) -> None:
        """Send an event; nothing, if it has ended. From any thread."""
        self._send(event, ended=False)

    def end(self, last: Message, error: BaseException | None = None) -> None:
        """Send the last event; nothing, if it has ended. From any thread.

        Parameters
        ----------
        last : Message
        error : BaseException, optional
            What a `Failed` tells of, for who waits for an answer.
        """
        self._send(last, ended=True, error=error)

    def _send(self, event: Message, *, ended: bool, error: BaseException | None = None) -> None:
        line = event.model_dump_json().encode() + b"\n"
        with self._sending:
            if self._ended:
                return
            if isinstance(event, Failed):
                self._error = error or refused(event)
            self._lines.append(line)
            self._ended = ended
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

    async def answer(self) -> bytes:
        """The last event, as JSON.

        Raises
        ------
        NunextError, Refusal
            If it failed.
        """
        while not self._ended:
            await self._news.wait()
            self._news.clear()
        if self._error is not None:
            raise self._error
        return self._lines[-1]
