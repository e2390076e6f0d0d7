"""All that is the same for every kind of job, from its request to the end of its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_nunext.core.errors import NunextError, ServerUnavailableError
from napari_nunext.serving.health.failures import failure
from napari_nunext.serving.jobs.fair_queue import Job
from napari_nunext.serving.jobs.work import Work
from napari_nunext.serving.jobs.worker import ModelWorker, WorkerBusyError
from napari_nunext.serving.protocol import Failed
from napari_nunext.serving.refusals import Refusal, busy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.health.metrics import Metrics
    from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared, Steps
    from napari_nunext.serving.protocol import JobRequest
    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)

REMEMBERED_CANCELS = 1000
"""Jobs cancelled before they arrived of which the server remembers the name."""


class Desk:
    """Takes jobs in, and stops, ends and counts them. For the event loop's thread.

    Parameters
    ----------
    settings : ServerSettings
    metrics : Metrics
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        limits = settings.waiting_jobs, settings.waiting_per_user
        self.worker = ModelWorker(*limits, at_once=settings.runs_at_once)
        self.apart = ModelWorker(*limits, at_once=settings.asks_at_once)
        """For jobs that only wait for another process."""
        self.out_of_memory = False
        """Whether the last work ended for want of memory."""
        self._open: dict[str, Work] = {}
        """What waits, works, or has yet to be read to its end."""
        self._cancelled_early: OrderedDict[str, None] = OrderedDict()

    async def begin(
        self, kind: Kind[Any], request: JobRequest, image: ImageSource, user: str
    ) -> Work:
        """Put a job in the queue; errors are those of `Service.begin`."""
        prepared = await kind.prepare(request, image)
        if request.run in self._open:
            raise Refusal(409, "run_exists", "A run of this id is under way. Choose another id.")
        work = Work(
            request.run or str(uuid4()),
            prepared.unbegun,
            limit_s=kind.limit_s(self._settings),
            keepalive_s=self._settings.keepalive_s,
        )
        if work.id in self._cancelled_early:
            del self._cancelled_early[work.id]
            work.end(work.unbegun)
            return work
        urgency, arrived = kind.urgency(request), time.monotonic()

        def steps() -> Iterator[None]:
            waited_s = time.monotonic() - arrived
            self._metrics.wait_seconds.labels(urgency).observe(waited_s)
            return self._steps(work, kind, prepared)

        work.job = Job(steps, user, urgency)
        try:
            (self.apart if prepared.apart else self.worker).submit(work.job)
        except WorkerBusyError as error:
            raise busy(error.whose, error.retry_s) from None
        self._open[work.id] = work
        loop = asyncio.get_running_loop()
        work.give_up = loop.call_later(self._settings.max_wait_s, self._waited_too_long, work)
        return work

    def end(self, work: Work) -> None:
        """The answer has ended, by itself or because its reader left."""
        self._stop(work)
        if work.give_up is not None:
            work.give_up.cancel()
        self._open.pop(work.id, None)

    def cancel(self, id_: str) -> bool:
        """Stop a job, or remember to, if it has yet to arrive. Returns whether it was there."""
        work = self._open.get(id_)
        if work is not None:
            self._stop(work)
            return True
        self._cancelled_early[id_] = None
        while len(self._cancelled_early) > REMEMBERED_CANCELS:
            self._cancelled_early.popitem(last=False)
        return False

    @property
    def busy(self) -> bool:
        """Whether anything runs, waits, or has yet to be read by its caller."""
        workers = (self.worker, self.apart)
        return bool(self._open) or any(each.under_way or each.waiting for each in workers)

    def end_all(self, last: Failed) -> None:
        """End all answers with these words. From any thread."""
        for work in list(self._open.values()):
            work.end(last)

    def stop_all(self) -> None:
        """Stop what runs and what waits. From any thread."""
        for work in list(self._open.values()):
            self._stop(work)

    def _stop(self, work: Work) -> None:
        """Stop at the next step; what still waits for its turn leaves the queue."""
        work.cancel()
        if work.job is None:
            return
        if self._withdraw(work.job):
            work.end(work.unbegun)
        else:
            self.worker.hurry(work.job)

    def close(self) -> None:
        """End the threads, once their work was stopped. From any thread."""
        self.worker.close()
        self.apart.close()

    def _withdraw(self, job: Job) -> bool:
        """Take back a job that has not begun, wherever it waits."""
        return self.worker.withdraw(job) or self.apart.withdraw(job)

    def _waited_too_long(self, work: Work) -> None:
        if work.job is not None and self._withdraw(work.job):
            wait_s = self._settings.max_wait_s
            message = f"The model was busy for {wait_s:g} s. Try again later."
            work.end(Failed(code="busy", message=message))

    def _steps(self, work: Work, kind: Kind[Any], prepared: Prepared) -> Iterator[None]:
        """Do the work, in the models' thread. Whatever happens, there is a last event."""
        work.begin()
        counted = "failed"
        try:
            outcome = yield from _sent(work, prepared.steps(work))
            counted, last = outcome.finish, outcome.last
            if counted == "cancelled" and work.timed_out():
                counted, last = "time_limit", kind.too_long(work.limit_s)
            self.out_of_memory = False
            work.end(last)
        except ServerUnavailableError as error:
            work.end(Failed(code="model_away", message=str(error)), error)
        except NunextError as error:
            work.end(Failed(code="cannot_run", message=str(error)), error)
        except (Exception, SystemExit) as error:
            logger.exception("a job (%s) failed", kind.name)
            said = failure(prepared.model, error)
            self.out_of_memory = said.code == "out_of_memory"
            work.end(said)
        finally:
            self._metrics.jobs.labels(kind.name, counted).inc()


def _sent(work: Work, steps: Steps) -> Generator[None, None, Outcome]:
    """Make the steps, and send what they bring."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        if event is not None:
            work.send(event)
        yield
