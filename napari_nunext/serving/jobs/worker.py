"""The one thread in which models run.

Models share memory and cores, so that two at a time would both be slower; and the event loop must
stay free to notice who hangs up. Long work gives way between its steps: see `fair_queue`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from napari_nunext.serving.jobs.fair_queue import FairQueue, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

SLICE_S = 0.1
"""A job goes on for at least this long before another may take its turn."""
LONGEST_RETRY_S = 120.0


class WorkerBusyError(RuntimeError):
    """As many jobs wait as may.

    Parameters
    ----------
    whose : str
        ``"all"``, or ``"yours"`` where it is the caller's own that are too many.
    retry_s : float
        When to try again, by what jobs took lately.
    """

    def __init__(self, whose: str, retry_s: float) -> None:
        super().__init__(f"too many jobs wait ({whose})")
        self.whose = whose
        self.retry_s = retry_s


class ModelWorker:
    """Runs jobs by turns, in fair shares.

    Parameters
    ----------
    waiting_jobs : int
        How many may wait for their first turn, apart from the one that can begin at once.
    waiting_per_user : int, optional
        How many of those may be one user's; all of them when None.
    at_once : int
        How many may be under way; see `FairQueue`.
    """

    def __init__(
        self, waiting_jobs: int, waiting_per_user: int | None = None, *, at_once: int = 4
    ) -> None:
        self._waiting_jobs = waiting_jobs
        self._waiting_per_user = waiting_per_user or waiting_jobs
        self._queue = FairQueue(at_once)
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._step_began: float | None = None
        self._typical_s = 1.0
        self._closed = False
        # A daemon: a model that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        with self._changed:
            return self._queue.waiting()

    @property
    def under_way(self) -> int:
        """Jobs that have begun and not ended."""
        with self._changed:
            return len(self._queue) - self._queue.waiting()

    def step_s(self) -> float:
        """For how long the present step has been going on; 0 between steps."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    def submit(self, job: Job) -> None:
        """Run `job` when its turn comes.

        Raises
        ------
        WorkerBusyError
            If as many jobs wait as may.
        """
        with self._changed:
            # While nothing runs, one of those that wait is about to begin.
            spare = self._running is None and self._queue.waiting() == len(self._queue)
            for whose, waiting, limit in (
                ("all", self._queue.waiting(), self._waiting_jobs),
                ("yours", self._queue.waiting(job.user), self._waiting_per_user),
            ):
                if waiting - spare >= limit:
                    wait_s = min(max(waiting * self._typical_s, 1.0), LONGEST_RETRY_S)
                    raise WorkerBusyError(whose, math.ceil(wait_s))
            self._queue.add(job)
            self._changed.notify()

    def withdraw(self, job: Job) -> bool:
        """Take back a job. Returns False where it has begun, or ended, already."""
        with self._changed:
            if job not in self._queue or job.began is not None:
                return False
            self._queue.remove(job)
            return True

    def hurry(self, job: Job) -> None:
        """Let a job that was cancelled, and only has to notice it, take the next turn."""
        job.hurried = True

    def close(self, timeout_s: float = 5.0) -> None:
        """Run what there is to its end (it should have been cancelled), and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("a model still runs after %.0f s; it is left behind", timeout_s)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            began = time.monotonic()
            # Who only has to pass on what others' turns brought makes no step now.
            ended = self._serve(job, until=began if job.caller.has_news else began + SLICE_S)
            with self._changed:
                self._running = None
                self._queue.charge(job, time.monotonic() - began)
                if ended:
                    self._queue.remove(job)
                    self._typical_s += 0.2 * (job.served_s - self._typical_s)

    def _serve(self, job: Job, *, until: float) -> bool:
        """Run steps of a job for a while. Returns whether it has ended."""
        assert job.began is not None
        try:
            while True:
                self._step_began = time.monotonic()
                next(job.began)
                if job.hurried or job.caller.has_news or time.monotonic() < until:
                    continue
                return False
        except StopIteration:
            return True
        # The thread serves everybody: whatever a job leaves to it, SystemExit even, ends that job.
        except BaseException:
            logger.exception("a job left an error to the worker")
            return True
        finally:
            self._step_began = None

    def _next(self) -> Job | None:
        """Wait for a job and begin it; None when there will be no more."""
        with self._changed:
            while (job := self._queue.pick()) is None:
                if self._closed:
                    return None
                self._changed.wait()
            if job.began is None:
                job.began = iter(job.steps())
            self._running = job
            return job


def at_one_go(work: Callable[[], None], user: str = "") -> Job:
    """A job of one step."""

    def steps() -> Iterator[None]:
        work()
        yield

    return Job(steps, user)
