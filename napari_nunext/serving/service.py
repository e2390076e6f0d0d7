"""What the server does, apart from HTTP: images, models, runs and the thread that models run in.

The methods belong to the event loop's thread. What takes time is handed to the worker.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.geometry import Box
from napari_nunext.models.drawing import draw_masks
from napari_nunext.models.segmenter import Prompt
from napari_nunext.serving.describe import describe
from napari_nunext.serving.detection import detect_events, region_of
from napari_nunext.serving.device import device_name, resident_bytes
from napari_nunext.serving.image_store import ImageStore
from napari_nunext.serving.protocol import Done, Failed, Health, MaskOut, ModelInfo, SegmentReply
from napari_nunext.serving.refusals import Refusal, busy
from napari_nunext.serving.runs import Runs
from napari_nunext.serving.worker import ModelWorker, WorkerBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from napari_nunext.images import TileImage
    from napari_nunext.models.catalog import CatalogEntry
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.protocol import DetectRequest, MaskPrompt, SegmentRequest
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
        self.images = ImageStore(settings.image_store_bytes)
        self._catalog = catalog
        self._worker = ModelWorker(settings.waiting_jobs)
        self._runs = Runs(max_run_s=settings.max_run_s, keepalive_s=settings.keepalive_s)
        self._loading = False
        self._draining = False
        self._loaded: tuple[str, ...] = ()

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
        )

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

    async def detect(self, request: DetectRequest) -> Run:
        """Put a detection in the queue.

        Raises
        ------
        Refusal
            404 for an image or model that is not there, 409 for an id in use, 422 for a model that
            cannot be served, 429 when too much waits.
        InputError
            For a region outside the image.
        """
        image = self._image(request.image)
        region_of(request, image)
        models = await asyncio.to_thread(self.models)
        model = _choose(models, "detector", request.model)
        segmenter = _choose(models, "segmenter", request.segmenter) if request.masks else None
        if request.run is not None and self._runs.get(request.run) is not None:
            raise Refusal(409, "run_exists", "A run of this id is under way. Choose another id.")
        run = self._runs.open(request.run)
        run.work = lambda: self._stream(run, image, request, model, segmenter)
        if run.cancelled():
            run.emit(Done(points=0, finish="cancelled"))
            return run
        try:
            self._submit(run.work)
        except Refusal:
            self._runs.close(run)
            raise
        return run

    def forget(self, run: Run) -> None:
        """The stream of a run has ended, by itself or because its reader left."""
        self._stop(run)
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
        self, request: SegmentRequest, cancelled: Callable[[], bool]
    ) -> Future[SegmentReply]:
        """Put a segmentation in the queue; refusals as in `detect`."""
        image = self._image(request.image)
        prompts = [_checked_prompt(prompt, image) for prompt in request.prompts]
        models = await asyncio.to_thread(self.models)
        model = _choose(models, "segmenter", request.segmenter)
        future: Future[SegmentReply] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                segmenter = self._load(self._catalog.load_segmenter, model.id)
                batches = draw_masks(
                    image, prompts, segmenter, mpp=request.mpp, cancelled=cancelled
                )
                masks = sorted((m for batch in batches for m in batch), key=lambda m: m.index)
                future.set_result(
                    SegmentReply(
                        masks=[MaskOut.of(m.index, m.mask, m.score) for m in masks],
                        segmenter=model.id,
                    )
                )
            except NunextError as error:
                future.set_exception(error)
            except Exception as error:
                logger.exception("a segmentation failed")
                message = _in_a_sentence(model.name, error)
                future.set_exception(Refusal(500, "model_failed", message))

        self._submit(work)
        future.add_done_callback(lambda done: done.cancelled() and self._worker.withdraw(work))
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

        self._worker.submit(work)

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
        if self._worker.withdraw(run.work):
            run.emit(Done(points=0, finish="cancelled"))

    def _stream(
        self,
        run: Run,
        image: TileImage,
        request: DetectRequest,
        model: ModelInfo,
        segmenter_model: ModelInfo | None,
    ) -> None:
        """Detect, in the worker's thread. Whatever happens, the stream gets its last event."""
        run.begin()
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
                if isinstance(event, Done) and event.finish == "cancelled" and run.timed_out():
                    run.emit(_time_is_up(self.settings.max_run_s))
                else:
                    run.emit(event)
        except NunextError as error:
            run.emit(Failed(code="cannot_run", message=str(error)))
        except Exception as error:
            logger.exception("a detection failed")
            run.emit(Failed(code="model_failed", message=_in_a_sentence(model.name, error)))

    def _load(self, load: Callable[[str], _Model], id_: str) -> _Model:
        self._loading = True
        try:
            return load(id_)
        finally:
            self._loading = False
            self._loaded = self._catalog.loaded

    def _submit(self, work: Callable[[], None]) -> None:
        if self._draining:
            raise Refusal(503, "draining", "The model server is about to stop. Start it again.")
        try:
            self._worker.submit(work)
        except WorkerBusyError:
            raise busy() from None

    def _image(self, sha256: str) -> TileImage:
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


def _in_a_sentence(model_name: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"{model_name} failed ({reason}). Try again, or choose another model."


def _time_is_up(max_run_s: float) -> Failed:
    return Failed(
        code="time_limit",
        message=f"The run was stopped after {max_run_s:g} s, the most this server allows. "
        "What was found is kept; search a smaller region.",
    )
