"""The one thread in which models run.

Models share memory and cores, so that two at a time would both be slower; and the event loop must
stay free to notice who hangs up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class WorkerBusyError(RuntimeError):
    """As many jobs wait as may."""


class ModelWorker:
    """Runs jobs one after the other, in the order they came.

    Parameters
    ----------
    waiting_jobs : int
        How many may wait for the one that runs.
    """

    def __init__(self, waiting_jobs: int) -> None:
        self._waiting_jobs = waiting_jobs
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._running = False
        self._closed = False
        # A daemon: a model that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` when its turn comes; it deals with its own errors.

        Raises
        ------
        WorkerBusyError
            If as many jobs wait as may.
        """
        with self._changed:
            if len(self._jobs) - (not self._running) >= self._waiting_jobs:
                raise WorkerBusyError
            self._jobs.append(job)
            self._changed.notify()

    def withdraw(self, job: Callable[[], None]) -> bool:
        """Take back a job. Returns False where its turn has come already."""
        with self._changed:
            if job not in self._jobs:
                return False
            self._jobs.remove(job)
            return True

    def close(self, timeout_s: float = 5.0) -> None:
        """Run what waits (it should have been cancelled), and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("a model still runs after %.0f s; it is left behind", timeout_s)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                logger.exception("a job left an error to the worker")

    def _next(self) -> Callable[[], None] | None:
        """Wait for a job; None when there will be no more."""
        with self._changed:
            self._running = False
            while not self._jobs:
                if self._closed:
                    return None
                self._changed.wait()
            self._running = True
            return self._jobs.popleft()
