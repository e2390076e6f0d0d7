"""The detections of a server, from their request to the end of their stream."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError, ServerUnavailableError
from napari_nunext.serving.jobs.detection_events import detect_events, region_of
from napari_nunext.serving.jobs.fair_queue import Job
from napari_nunext.serving.jobs.streams import Runs
from napari_nunext.serving.models.describe import completed
from napari_nunext.serving.protocol import Done, Failed, Points, Usage
from napari_nunext.serving.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.images import TileImage
    from napari_nunext.serving.jobs.streams import Run
    from napari_nunext.serving.jobs.workshop import Workshop
    from napari_nunext.serving.protocol import DetectEvent, DetectRequest, ModelInfo

logger = logging.getLogger(__name__)


class DetectJobs:
    """Begins, stops and counts detections. For the event loop's thread.

    Parameters
    ----------
    workshop : Workshop
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        settings = workshop.settings
        self._settings = settings
        self._runs = Runs(max_run_s=settings.max_run_s, keepalive_s=settings.keepalive_s)

    async def begin(self, image: TileImage, request: DetectRequest, user: str) -> Run:
        """Put a detection in the queue; errors are those of `Service.detect`."""
        region_of(request, image)
        shelf = self._workshop.shelf
        model = await asyncio.to_thread(shelf.choose, "detector", request.model)
        segmenter = None
        if request.masks:
            segmenter = await asyncio.to_thread(shelf.choose, "segmenter", request.segmenter)
        if request.run is not None and self._runs.get(request.run) is not None:
            raise Refusal(409, "run_exists", "A run of this id is under way. Choose another id.")
        run = self._runs.open(request.run)
        if run.cancelled():
            run.emit(Done(points=0, finish="cancelled"))
            return run
        arrived = time.monotonic()

        def steps() -> Iterator[None]:
            waited_s = time.monotonic() - arrived
            self._workshop.metrics.wait_seconds.labels(request.priority).observe(waited_s)
            return self._steps(run, image, request, model, segmenter)

        run.job = Job(steps, user, request.priority)
        try:
            self._workshop.submit(run.job)
        except Refusal:
            self._runs.close(run)
            raise
        loop = asyncio.get_running_loop()
        run.give_up = loop.call_later(self._settings.max_wait_s, self._waited_too_long, run)
        return run

    def end(self, run: Run) -> None:
        """The stream of a run has ended, by itself or because its reader left."""
        self._stop(run)
        if run.give_up is not None:
            run.give_up.cancel()
        self._runs.close(run)

    def cancel(self, run_id: str) -> bool:
        """Stop a run, or remember to, if it has yet to arrive. Returns whether it was there."""
        run = self._runs.get(run_id)
        if run is None:
            self._runs.cancel_early(run_id)
            return False
        self._stop(run)
        return True

    @property
    def any_open(self) -> bool:
        """Whether a run works, waits, or has yet to be read to its end."""
        return bool(self._runs.open_runs())

    def tell_all(self, last: Failed) -> None:
        """End the streams of all runs with these words. From any thread."""
        for run in self._runs.open_runs():
            run.emit(last)

    def stop_all(self) -> None:
        """Stop what runs and what waits. From any thread."""
        for run in self._runs.open_runs():
            self._stop(run)

    def _stop(self, run: Run) -> None:
        """Stop at the next step; what still waits for its turn leaves the queue."""
        run.cancel()
        if run.job is None:
            return
        if self._workshop.worker.withdraw(run.job):
            run.emit(Done(points=0, finish="cancelled"))
        else:
            self._workshop.worker.hurry(run.job)

    def _waited_too_long(self, run: Run) -> None:
        if run.job is not None and self._workshop.worker.withdraw(run.job):
            run.emit(
                Failed(
                    code="busy",
                    message=f"The model was busy for {self._settings.max_wait_s:g} s. "
                    "Try again later.",
                )
            )

    def _steps(
        self,
        run: Run,
        image: TileImage,
        request: DetectRequest,
        model: ModelInfo,
        segmenter_model: ModelInfo | None,
    ) -> Iterator[None]:
        """Detect, in the worker's thread. Whatever happens, the stream gets its last event."""
        run.begin()
        outcome = "failed"
        workshop = self._workshop
        try:
            detector = workshop.shelf.take_detector(model.id)
            take_segmenter = None
            if segmenter_model is not None:
                take_segmenter = partial(workshop.shelf.take_segmenter, segmenter_model.id)
                if segmenter_model.window_px is None:  # a plugin's, described once it is loaded
                    segmenter_model = completed(segmenter_model, take_segmenter().info)
            events = detect_events(
                image,
                request,
                detector,
                take_segmenter,
                run=run.id,
                model=model,
                segmenter_model=segmenter_model,
                cancelled=run.cancelled,
                caller=None if run.job is None else run.job.caller,
            )
            for event in events:
                if event is None:
                    yield
                    continue
                self._count(event)
                if isinstance(event, Done):
                    outcome = event.finish
                    if outcome == "cancelled" and run.timed_out():
                        outcome = "time_limit"
                        run.emit(_time_is_up(self._settings.max_run_s))
                        return
                run.emit(event)
                yield
            workshop.out_of_memory = False
        except ServerUnavailableError as error:
            run.emit(Failed(code="model_away", message=str(error)))
        except NunextError as error:
            run.emit(Failed(code="cannot_run", message=str(error)))
        except (Exception, SystemExit) as error:
            logger.exception("a detection failed")
            run.emit(workshop.broke(model.name, error))
        finally:
            workshop.metrics.jobs.labels("detect", outcome).inc()

    def _count(self, event: DetectEvent) -> None:
        metrics = self._workshop.metrics
        if isinstance(event, Points):
            metrics.points.inc(len(event.points))
        elif isinstance(event, Usage):
            metrics.tokens.labels("image").inc(event.image_tokens)
            metrics.tokens.labels("output").inc(event.output_tokens)


def _time_is_up(max_run_s: float) -> Failed:
    return Failed(
        code="time_limit",
        message=f"The run was stopped after {max_run_s:g} s, the most this server allows. "
        "What was found is kept; search a smaller region.",
    )
