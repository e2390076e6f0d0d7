"""Detection as a job."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.naming import in_order
from napari_nunext.serving.jobs.detection_events import detect_events, region_of
from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared
from napari_nunext.serving.models.describe import completed
from napari_nunext.serving.protocol import (
    DetectEvent,
    DetectRequest,
    Done,
    Failed,
    Points,
    Usage,
)

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.jobs.fair_queue import Urgency
    from napari_nunext.serving.jobs.kind import Steps
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.protocol import ModelInfo


class Detect(Kind[DetectRequest]):
    """Find nuclei. Hanging up stops it."""

    name = "detect"
    request = DetectRequest
    answer = DetectEvent

    async def prepare(self, request: DetectRequest, image: ImageSource) -> Prepared:
        """Choose detector and segmenter.

        Raises
        ------
        InputError
            For a region outside the image, and for a category that the detector does not know.
        """
        region_of(request, image)
        model = await asyncio.to_thread(self._shelf.choose, "detector", request.model)
        if request.only and model.categories:
            in_order(request.only, [category.name for category in model.categories])
        segmenter = None
        if request.masks:
            segmenter = await asyncio.to_thread(self._shelf.choose, "segmenter", request.segmenter)
        return Prepared(
            model.name,
            partial(self._steps, request, image, model, segmenter),
            unbegun=Done(points=0, finish="cancelled"),
        )

    def urgency(self, request: DetectRequest) -> Urgency:
        """As the request says."""
        return request.priority

    def too_long(self, limit_s: float) -> Failed:
        """What is said when a search takes too long."""
        return Failed(
            code="time_limit",
            message=f"The run was stopped after {limit_s:g} s, the most this server allows. "
            "What was found is kept; search a smaller region.",
        )

    def _steps(
        self,
        request: DetectRequest,
        image: ImageSource,
        model: ModelInfo,
        segmenter: ModelInfo | None,
        work: Work,
    ) -> Steps:
        detector = self._shelf.take_detector(model.id)
        take_segmenter = None
        if segmenter is not None:
            take_segmenter = partial(self._shelf.take_segmenter, segmenter.id)
            if segmenter.window_px is None:  # a plugin's, described once it is loaded
                segmenter = completed(segmenter, take_segmenter().info)
        for event in detect_events(
            image,
            request,
            detector,
            take_segmenter,
            run=work.id,
            model=model,
            segmenter_model=segmenter,
            cancelled=work.cancelled,
            caller=None if work.job is None else work.job.caller,
        ):
            if isinstance(event, Done):
                return Outcome(event, event.finish)
            if isinstance(event, Points):
                self._metrics.points.inc(len(event.points))
            elif isinstance(event, Usage):
                self._metrics.tokens.labels("image").inc(event.image_tokens)
                self._metrics.tokens.labels("output").inc(event.output_tokens)
            yield event
        raise AssertionError("a detection ended without its last event")
