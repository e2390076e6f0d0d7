"""The one thread that writes to the project.

Writes happen in the order they were handed in. A write that fails because the disk is full or the
file cannot be written stays at the head of the queue, in memory, and is tried again: by itself
every few seconds and at once when the user asks. After each pause the project is made whole in its
one file. `SaveStatus` says "saved" only when every write
handed in so far has become durable.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from napari_nunext.core.errors import StorageError, StoreError
from napari_nunext.review.model import SaveStatus

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

T = TypeVar("T")

REST_AFTER_S = 2.0
"""Pause after which the project is made whole in its one file."""
RETRY_AFTER_S = 10.0
"""Pause before a failed write is tried again by itself."""


class JournalWriter:
    """Write to the project in order, in the background, without losing anything.

    Parameters
    ----------
    on_status : callable
        Told how saving is going; called from the writing thread.
    executor : Executor, optional
        Runs one write at a time, in order; a thread of its own by default.
    retry_after_s : float
        Pause before a failed write is tried again by itself.
    on_rest : callable
        Called from the writing thread once nothing was written for a while.
    rest_after_s : float
        That while.
    """

    def __init__(
        self,
        on_status: Callable[[SaveStatus], None],
        *,
        executor: Executor | None = None,
        retry_after_s: float = RETRY_AFTER_S,
        on_rest: Callable[[], object] = lambda: None,
        rest_after_s: float = REST_AFTER_S,
    ) -> None:
        self._on_status = on_status
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="nunext-journal")
        self._retry_after_s = retry_after_s
        self._retry = threading.Event()
        self._giving_up = threading.Event()
        self._lock = threading.Lock()
        self._pending: set[Future[object]] = set()
        self._lost = ""
        self._on_rest = on_rest
        self._rest_after_s = rest_after_s
        self._written_at = 0.0
        self._rest: threading.Timer | None = None

    @property
    def pending(self) -> int:
        """Writes handed in that are not durable yet."""
        with self._lock:
            return len(self._pending)

    def submit(self, write: Callable[[], object]) -> None:
        """Hand in a write; returns at once. Never lost while the process lives."""
        self._on_status(SaveStatus("saving"))
        self._track(self._executor.submit(self._persist, write))

    def call(self, write: Callable[[], T]) -> T:
        """Write in turn and wait for the result; for background threads only.

        The caller learns of a failure and answers for it: it does not count as an edit that is
        not saved.

        Raises
        ------
        StoreError
            If it fails; it is then not tried again.
        """
        try:
            return self._executor.submit(write).result()
        finally:
            self._rest_later()

    def retry(self) -> None:
        """Try the write that failed again, now."""
        self._retry.set()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything handed in is durable; False when it was not in time."""
        with self._lock:
            pending = set(self._pending)
        self._retry.set()
        return not wait(pending, timeout_s).not_done

    def close(self, timeout_s: float) -> bool:
        """Wait for what is pending, then stop the thread; False when something is not saved."""
        saved = self.drain(timeout_s)
        self._giving_up.set()
        self._retry.set()
        with self._lock:
            if self._rest is not None:
                self._rest.cancel()
        self._executor.shutdown(wait=saved, cancel_futures=not saved)
        return saved

    def _track(self, future: Future[object]) -> None:
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._finished)

    def _persist(self, write: Callable[[], object]) -> object:
        while True:
            self._retry.clear()
            try:
                return write()
            except (StorageError, OSError) as error:
                logger.warning("A write failed and will be tried again: %s", error)
                self._on_status(SaveStatus("failed", problem=str(error)))
                if self._giving_up.is_set():
                    raise
            self._wait_for_retry()

    def _wait_for_retry(self) -> None:
        until = time.monotonic() + self._retry_after_s
        while not self._retry.is_set() and time.monotonic() < until:
            self._retry.wait(max(until - time.monotonic(), 0))

    def _finished(self, future: Future[object]) -> None:
        with self._lock:
            self._pending.discard(future)
            left = len(self._pending)
        if not left:
            self._rest_later()
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            if not isinstance(error, (StoreError, OSError)):
                logger.error("A write broke", exc_info=error)
            self._lost = str(error)
        if self._lost:
            self._on_status(SaveStatus("failed", problem=self._lost))
        elif not left:
            self._on_status(SaveStatus("saved", at=datetime.now().astimezone()))

    # At rest

    def _rest_later(self) -> None:
        """Rest once nothing was written for a while; the clock starts anew with every write."""
        with self._lock:
            self._written_at = time.monotonic()
            if self._rest is None:
                self._wait_for_rest(self._rest_after_s)

    def _wait_for_rest(self, wait_s: float) -> None:
        if self._giving_up.is_set():
            return
        self._rest = threading.Timer(wait_s, self._rest_or_wait)
        self._rest.daemon = True
        self._rest.start()

    def _rest_or_wait(self) -> None:
        with self._lock:
            self._rest = None
            wait_s = self._written_at + self._rest_after_s - time.monotonic()
            if wait_s > 0:
                self._wait_for_rest(wait_s)
            elif not self._pending and not self._giving_up.is_set():
                self._executor.submit(self._on_rest)
