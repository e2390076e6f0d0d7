"""What the server does, apart from HTTP: images, models, runs and the thread that models run in.

The methods belong to the event loop's thread. What takes time is handed to the worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.errors import InputError, NunextError, ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.models.drawing import draw_masks
from napari_nunext.models.segmenter import Prompt
from napari_nunext.serving.describe import describe
from napari_nunext.serving.detection import detect_events, region_of
from napari_nunext.serving.device import device_name, resident_bytes
from napari_nunext.serving.failures import failure
from napari_nunext.serving.fair_queue import Job
from napari_nunext.serving.image_store import ImageStore
from napari_nunext.serving.metrics import Metrics
from napari_nunext.serving.protocol import (
    Done,
    Failed,
    Health,
    MaskOut,
    ModelInfo,
    Points,
    SegmentReply,
    Usage,
)
from napari_nunext.serving.refusals import Refusal, away, busy, draining
from napari_nunext.serving.runs import Runs
from napari_nunext.serving.self_check import free_disk_bytes, free_memory_bytes, problems
from napari_nunext.serving.worker import ModelWorker, WorkerBusyError, at_one_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from napari_nunext.images import TileImage
    from napari_nunext.models.catalog import CatalogEntry
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.protocol import (
        DetectEvent,
        DetectRequest,
        MaskPrompt,
        SegmentRequest,
    )
    from napari_nunext.serving.runs import Run
    from napari_nunext.serving.settings import ServerSettings

    class ModelCatalog(Protocol):
        """As much of `napari_nunext.models.catalog.Catalog` as is used."""

        def entries(self) -> Sequence[CatalogEntry]:
            """What is there now."""
            ...

        @property
        def default_detector_id(self) -> str:
            """The detector where none is named."""
            ...

        @property
        def default_segmenter_id(self) -> str:
            """The segmenter where none is named."""
            ...

        @property
        def loaded(self) -> tuple[str, ...]:
            """Ids of the checkpoints in memory."""
            ...

        def load_detector(self, id_: str | None = None) -> Detector:
            """The detector, in memory."""
            ...

        def load_segmenter(self, id_: str | None = None) -> Segmenter:
            """The segmenter, in memory."""
            ...


logger = logging.getLogger(__name__)

_Model = TypeVar("_Model")


class Service:
    """A model server's state and work.

    Parameters
    ----------
    settings : ServerSettings
    catalog : ModelCatalog
        Asked for descriptions from any thread, and to load from the worker's alone.
    """

    def __init__(self, settings: ServerSettings, catalog: ModelCatalog) -> None:
        self.settings = settings
        self.images = ImageStore(settings.image_store_bytes, settings.max_image_pixels)
        self.metrics = Metrics()
        self._catalog = catalog
        self._worker = ModelWorker(
            settings.waiting_jobs, settings.waiting_per_user, at_once=settings.runs_at_once
        )
        self._decoders = asyncio.Semaphore(settings.decoders)
        self._runs = Runs(max_run_s=settings.max_run_s, keepalive_s=settings.keepalive_s)
        self._loading = False
        self._draining = False
        self._loaded: tuple[str, ...] = ()
        self._default_problem: str | None = None
        self._out_of_memory = False
        self._watch()

    def _watch(self) -> None:
        watch, worker = self.metrics.watch, self._worker
        watch("nunext_jobs_waiting", "Jobs that have not begun.", lambda: worker.waiting)
        watch("nunext_jobs_under_way", "Jobs that take turns.", lambda: worker.under_way)
        watch("nunext_step_seconds", "How long the present step has taken.", worker.step_s)
        watch("nunext_images_bytes", "Pixels kept.", lambda: self.images.size_bytes)
        watch("nunext_memory_bytes", "Resident memory.", lambda: resident_bytes() or 0)

    def health(self, *, authorised: bool) -> Health:
        """How the server is; to a stranger, only whether it is there."""
        status: Literal["ready", "loading", "draining"] = (
            "draining" if self._draining else "loading" if self._loading else "ready"
        )
        if not authorised:
            return Health(status=status, version=__version__)
        return Health(
            status=status,
            version=__version__,
            device=device_name(),
            memory_bytes=resident_bytes(),
            loaded=list(self._loaded),
            problems=problems(
                died=self.settings.died,
                step_s=self._worker.step_s(),
                out_of_memory=self._out_of_memory,
                default_problem=self._default_problem,
                away=[entry.problem for entry in self._catalog.entries() if entry.passing],
                disk_bytes=free_disk_bytes(),
                memory_bytes=free_memory_bytes(),
            ),
        )

    async def put_image(self, body: bytes, sha256: str) -> TileImage:
        """Decode an image file and keep it.

        Raises
        ------
        Refusal
            503 when the server is about to stop, 507 when its disk is full.
        ImageError
            As `ImageStore.decode`.
        """
        self._refuse_if_draining()
        async with self._decoders:
            try:
                image = await asyncio.to_thread(self.images.decode, body, sha256)
            except OSError as error:
                said = failure("Taking in the image", error)
                status = 507 if said.code == "disk_full" else 500
                raise Refusal(status, said.code, said.message) from error
        self.images.put(sha256, image)
        return image

    def models(self) -> list[ModelInfo]:
        """Every model, looked for anew. Reads the disk: from any thread but the loop's."""
        defaults = {
            "detector": self._catalog.default_detector_id,
            "segmenter": self._catalog.default_segmenter_id,
        }
        return [
            describe(entry, default=entry.id == defaults[entry.kind])
            for entry in self._catalog.entries()
        ]

    async def detect(self, request: DetectRequest, user: str = "") -> Run:
        """Put a detection in the queue.

        Raises
        ------
        Refusal
            404 for an image or model that is not there, 409 for an id in use, 422 for a model that
            cannot be served, 429 when too much waits, 503 when the server is about to stop.
        InputError
            For a region outside the image.
        """
        self._refuse_if_draining()
        image = self.image(request.image)
        region_of(request, image)
        models = await asyncio.to_thread(self.models)
        model = _choose(models, "detector", request.model)
        segmenter = _choose(models, "segmenter", request.segmenter) if request.masks else None
        if request.run is not None and self._runs.get(request.run) is not None:
            raise Refusal(409, "run_exists", "A run of this id is under way. Choose another id.")
        run = self._runs.open(request.run)
        if run.cancelled():
            run.emit(Done(points=0, finish="cancelled"))
            return run
        arrived = time.monotonic()

        def steps() -> Iterator[None]:
            self.metrics.wait_seconds.labels(request.priority).observe(time.monotonic() - arrived)
            return self._stream(run, image, request, model, segmenter)

        run.job = Job(steps, user, request.priority)
        try:
            self._submit(run.job)
        except Refusal:
            self._runs.close(run)
            raise
        loop = asyncio.get_running_loop()
        run.give_up = loop.call_later(self.settings.max_wait_s, self._waited_too_long, run)
        return run

    def forget(self, run: Run) -> None:
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

    async def segment(
        self, request: SegmentRequest, cancelled: Callable[[], bool], user: str = ""
    ) -> Future[SegmentReply]:
        """Put a segmentation in the queue; refusals as in `detect`."""
        self._refuse_if_draining()
        image = self.image(request.image)
        prompts = [_checked_prompt(prompt, image) for prompt in request.prompts]
        models = await asyncio.to_thread(self.models)
        model = _choose(models, "segmenter", request.segmenter)
        future: Future[SegmentReply] = Future()
        arrived = time.monotonic()

        def steps() -> Iterator[None]:
            self.metrics.wait_seconds.labels("click").observe(time.monotonic() - arrived)
            if not future.set_running_or_notify_cancel():
                return
            outcome = "failed"
            try:
                segmenter = self._load(self._catalog.load_segmenter, model.id)
                masks = []
                for drawn in draw_masks(
                    image, prompts, segmenter, mpp=request.mpp, cancelled=cancelled
                ):
                    masks += [MaskOut.of(m.index, m.mask, m.score) for m in drawn]
                    yield
                masks.sort(key=lambda mask: mask.index)
                outcome = "cancelled" if cancelled() else "complete"
                future.set_result(SegmentReply(masks=masks, segmenter=model.id))
            except NunextError as error:
                future.set_exception(error)
            except (Exception, SystemExit) as error:
                logger.exception("a segmentation failed")
                said = self._failed(model, error)
                future.set_exception(Refusal(500, said.code, said.message))
            finally:
                self.metrics.jobs.labels("segment", outcome).inc()

        job = Job(steps, user, "click")
        self._submit(job)
        # A cancelled one that has begun sees it at its next step, and takes it at once.
        future.add_done_callback(lambda done: done.cancelled() and not self._worker.withdraw(job))
        return future

    def preload(self) -> None:
        """Load the default detector, when nothing else is to be done, for the first run to begin.

        Importing torch alone may take longer than a person likes to wait after pressing Run.
        """
        default = self._catalog.default_detector_id

        def work() -> None:
            try:
                self._load(self._catalog.load_detector, default)
            except NunextError as error:
                logger.warning("the default model was not loaded ahead: %s", error)
                self._default_problem = str(error)
            except Exception as error:
                said = failure(default, error)
                logger.exception("the default model was not loaded ahead")
                self._default_problem = said.message

        self._worker.submit(at_one_go(work))

    @property
    def busy(self) -> bool:
        """Whether anything runs, waits, or has yet to be read by its caller."""
        return bool(self._runs.open_runs() or self._worker.under_way or self._worker.waiting)

    def drain(self) -> None:
        """Take no more; what runs and waits goes on. From any thread."""
        self._draining = True

    @property
    def hangs(self) -> bool:
        """Whether a model has not moved for longer than any may."""
        return self._worker.step_s() > self.settings.max_step_s

    def fail_runs(self) -> None:
        """Tell every caller that the server is started again, because a model hangs."""
        self._draining = True
        for run in self._runs.open_runs():
            run.emit(
                Failed(
                    code="hangs",
                    message="The model does not move any more; its server is started again. "
                    "What was found is kept. Try again, or choose another model.",
                )
            )

    def stop_runs(self) -> None:
        """Stop what runs, and take no more. From any thread."""
        self._draining = True
        for run in self._runs.open_runs():
            self._stop(run)

    def close(self) -> None:
        """Stop what runs, and end the worker. From any thread."""
        self.stop_runs()
        self._worker.close()

    def _stop(self, run: Run) -> None:
        """Stop at the next step; what still waits for its turn leaves the queue."""
        run.cancel()
        if run.job is None:
            return
        if self._worker.withdraw(run.job):
            run.emit(Done(points=0, finish="cancelled"))
        else:
            self._worker.hurry(run.job)

    def _waited_too_long(self, run: Run) -> None:
        if run.job is not None and self._worker.withdraw(run.job):
            run.emit(
                Failed(
                    code="busy",
                    message=f"The model was busy for {self.settings.max_wait_s:g} s. "
                    "Try again later.",
                )
            )

    def _stream(
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
        try:
            detector = self._load(self._catalog.load_detector, model.id)
            segmenter = None
            if segmenter_model is not None:
                segmenter = self._load(self._catalog.load_segmenter, segmenter_model.id)
            events = detect_events(
                image,
                request,
                detector,
                segmenter,
                run=run.id,
                model=model,
                segmenter_model=segmenter_model,
                cancelled=run.cancelled,
            )
            for event in events:
                self._count(event)
                if isinstance(event, Done):
                    outcome = event.finish
                    if outcome == "cancelled" and run.timed_out():
                        outcome = "time_limit"
                        run.emit(_time_is_up(self.settings.max_run_s))
                        return
                run.emit(event)
                yield
            self._out_of_memory = False
        except ServerUnavailableError as error:
            run.emit(Failed(code="model_away", message=str(error)))
        except NunextError as error:
            run.emit(Failed(code="cannot_run", message=str(error)))
        except (Exception, SystemExit) as error:
            logger.exception("a detection failed")
            run.emit(self._failed(model, error))
        finally:
            self.metrics.jobs.labels("detect", outcome).inc()

    def _count(self, event: DetectEvent) -> None:
        if isinstance(event, Points):
            self.metrics.points.inc(len(event.points))
        elif isinstance(event, Usage):
            self.metrics.tokens.labels("image").inc(event.image_tokens)
            self.metrics.tokens.labels("output").inc(event.output_tokens)

    def _failed(self, model: ModelInfo, error: BaseException) -> Failed:
        """What to say of a model that broke."""
        said = failure(model.name, error)
        self._out_of_memory = said.code == "out_of_memory"
        return said

    def _load(self, load: Callable[[str], _Model], id_: str) -> _Model:
        self._loading = True
        try:
            return load(id_)
        finally:
            self._loading = False
            self._loaded = self._catalog.loaded

    def _submit(self, job: Job) -> None:
        try:
            self._worker.submit(job)
        except WorkerBusyError as error:
            raise busy(error.whose, error.retry_s) from None

    def _refuse_if_draining(self) -> None:
        if self._draining:
            raise draining(self.settings.drain_s)

    def image(self, sha256: str) -> TileImage:
        """An image that was uploaded; `Refusal` 404 where it is not there (any more)."""
        image = self.images.get(sha256)
        if image is None:
            raise Refusal(
                404,
                "unknown_image",
                "The model server does not have this image (any more). Send it again.",
            )
        return image


def _choose(models: list[ModelInfo], kind: str, id_: str | None) -> ModelInfo:
    """The model of a request, or the default one."""
    same_kind = [m for m in models if m.kind == kind]
    for model in same_kind:
        if model.id == id_ or (id_ is None and model.default):
            if model.problem is not None and model.passing:
                raise away(model.problem)
            if model.problem is not None:
                raise Refusal(422, "broken_model", model.problem)
            return model
    known = ", ".join(m.id for m in same_kind)
    raise Refusal(404, "unknown_model", f"There is no {kind} {id_!r}. Choose one of: {known}.")


def _checked_prompt(prompt: MaskPrompt, image: TileImage) -> Prompt:
    points_xy = np.array([(p.x, p.y) for p in prompt.points], dtype=np.float64).reshape(-1, 2)
    box = None if prompt.box is None else Box.from_sequence(prompt.box)
    if box is None and len(points_xy) == 0:
        raise InputError("A prompt has neither a point nor a box; expected at least one.")
    corners = () if box is None else ((box.x0, box.y0), (box.x1, box.y1))
    for x, y in (*points_xy.tolist(), *corners):
        if not (0 <= x <= image.width_px and 0 <= y <= image.height_px):
            raise InputError(
                f"A prompt at ({x:g}, {y:g}) lies outside the image of {image.width_px} x "
                f"{image.height_px} pixels. Prompt inside it."
            )
    return Prompt(points_xy, tuple(p.positive for p in prompt.points), box)


def _time_is_up(max_run_s: float) -> Failed:
    return Failed(
        code="time_limit",
        message=f"The run was stopped after {max_run_s:g} s, the most this server allows. "
        "What was found is kept; search a smaller region.",
    )
