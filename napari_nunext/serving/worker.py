"""The one thread in which models run.

Models share memory and cores, so that two at a time would both be slower; and the event loop must
stay free to notice who hangs up.
"""

from __future__ import annotations

import logging
import queue
import threading
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
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(waiting_jobs)
        self._closed = threading.Event()
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
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise WorkerBusyError from None

    def close(self, timeout_s: float = 5.0) -> None:
        """Run what waits (it should have been cancelled), and end the thread."""
        self._closed.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("a model still runs after %.0f s; it is left behind", timeout_s)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=0.2)
            except queue.Empty:
                if self._closed.is_set():
                    return
                continue
            try:
                job()
            except Exception:
                logger.exception("a job left an error to the worker")
