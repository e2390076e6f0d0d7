"""Where models work: the thread that runs them, where they are taken from, what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.serving.health.failures import failure
from napari_nunext.serving.jobs.worker import ModelWorker, WorkerBusyError
from napari_nunext.serving.refusals import busy

if TYPE_CHECKING:
    from napari_nunext.serving.health.metrics import Metrics
    from napari_nunext.serving.jobs.fair_queue import Job
    from napari_nunext.serving.models.shelf import Shelf
    from napari_nunext.serving.protocol import Failed
    from napari_nunext.serving.settings import ServerSettings


class Workshop:
    """What detections and segmentations share.

    Parameters
    ----------
    settings : ServerSettings
    shelf : Shelf
    metrics : Metrics
    """

    def __init__(self, settings: ServerSettings, shelf: Shelf, metrics: Metrics) -> None:
        self.settings = settings
        self.shelf = shelf
        self.metrics = metrics
        self.worker = ModelWorker(
            settings.waiting_jobs, settings.waiting_per_user, at_once=settings.runs_at_once
        )
        self.out_of_memory = False
        """Whether the last work ended for want of memory."""

    def submit(self, job: Job) -> None:
        """Put a job in the queue; `Refusal` 429 where too much waits."""
        try:
            self.worker.submit(job)
        except WorkerBusyError as error:
            raise busy(error.whose, error.retry_s) from None

    def broke(self, model_name: str, error: BaseException) -> Failed:
        """What to say of a model that broke."""
        said = failure(model_name, error)
        self.out_of_memory = said.code == "out_of_memory"
        return said
