"""Windows as a job: a detector's work alone, for who has the image."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.naming import in_order
from napari_nunext.models.detector import Caller, SharedDetector, WindowPoints
from napari_nunext.models.whole_image.search import wanted_of
from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared
from napari_nunext.serving.protocol import Done
from napari_nunext.serving.windows_protocol import (
    WindowEndOut,
    WindowPointsOut,
    WindowsEvent,
    WindowsRequest,
)

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.models.detector import WindowEvent
    from napari_nunext.serving.jobs.fair_queue import Urgency
    from napari_nunext.serving.jobs.kind import Steps
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.protocol import Message, ModelInfo


class Windows(Kind[WindowsRequest]):
    """Find the nuclei of windows that lie below each other in an image. Hanging up stops it."""

    name = "windows"
    request = WindowsRequest
    answer = WindowsEvent

    async def prepare(self, request: WindowsRequest, image: ImageSource) -> Prepared:
        """Choose the detector.

        Raises
        ------
        InputError
            Where the image is no column of its windows, or it does not know a category.
        """
        model = await asyncio.to_thread(self._shelf.choose, "detector", request.model)
        if model.window_px is not None:
            _count(image, model.window_px)
        if request.among and model.categories:
            in_order(request.among, [category.name for category in model.categories])
        steps = partial(self._steps, request, image, model)
        return Prepared(model.name, steps, unbegun=Done(points=0, finish="cancelled"))

    def urgency(self, request: WindowsRequest) -> Urgency:
        """As the request says."""
        return request.priority

    def _steps(
        self, request: WindowsRequest, image: ImageSource, model: ModelInfo, work: Work
    ) -> Steps:
        detector = self._shelf.take_detector(model.id)
        side = detector.info.window_px
        windows = [
            image.read_region(Box(0, side * i, side, side * (i + 1)))
            for i in range(_count(image, side))
        ]
        if isinstance(detector, SharedDetector):
            caller = Caller() if work.job is None else work.job.caller
            caller.among = wanted_of(detector.info, request.among or ())
            events = detector.detect_for(caller, windows, cancelled=work.cancelled)
        else:
            events = detector.detect(windows, cancelled=work.cancelled)
        ended = points = 0
        for event in events:
            if event is None:
                yield None
                continue
            ended += not isinstance(event, WindowPoints)
            points += len(event.points_xy) if isinstance(event, WindowPoints) else 0
            yield _told(event, errors=bool(request.position_error))
        is_complete = ended == len(windows)
        done = Done(points=points, finish="complete" if is_complete else "cancelled")
        return Outcome(done, done.finish)


def _count(image: ImageSource, side_px: int) -> int:
    """How many windows there are."""
    width, height = round(image.box.width), round(image.box.height)
    if width != side_px or height % side_px:
        raise InputError(
            f"The image of {width} x {height} px is no column of windows of {side_px} px. Send "
            "windows below each other."
        )
    return height // side_px


def _told(event: WindowEvent, *, errors: bool) -> Message:
    if isinstance(event, WindowPoints):
        errors_um = event.position_error_um if errors else None
        return WindowPointsOut(
            window=event.window,
            points=event.points_xy.tolist(),
            categories=list(event.categories),
            confidence=list(event.confidence),
            position_error_um=None if errors_um is None else list(errors_um),
        )
    return WindowEndOut(window=event.window, finish=event.finish, tokens=event.tokens)
