"""The segmentations of a server: clicks, and what is drawn for them."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.geometry import Box
from napari_nunext.images.remembered import RememberedWindows, new_windows
from napari_nunext.models.segmenter import Prompt
from napari_nunext.models.whole_image.masks import draw_masks
from napari_nunext.serving.jobs.fair_queue import Job
from napari_nunext.serving.protocol import MaskOut, SegmentReply
from napari_nunext.serving.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.images import TileImage
    from napari_nunext.serving.jobs.workshop import Workshop
    from napari_nunext.serving.protocol import MaskPrompt, ModelInfo, SegmentRequest

logger = logging.getLogger(__name__)

WINDOWS_BYTES = 64 * 2**20
"""Memory for the pixels under recent clicks: windows of 1024 px for twenty of them."""


class SegmentJobs:
    """Begins and counts segmentations. For the event loop's thread.

    Parameters
    ----------
    workshop : Workshop
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._windows = new_windows(WINDOWS_BYTES)

    async def begin(
        self,
        image: TileImage,
        request: SegmentRequest,
        cancelled: Callable[[], bool],
        user: str,
    ) -> Future[SegmentReply]:
        """Put a segmentation in the queue; errors are those of `Service.segment`."""
        prompts = [_checked_prompt(prompt, image) for prompt in request.prompts]
        shelf = self._workshop.shelf
        model = await asyncio.to_thread(shelf.choose, "segmenter", request.segmenter)
        future: Future[SegmentReply] = Future()
        arrived = time.monotonic()

        def steps() -> Iterator[None]:
            waited_s = time.monotonic() - arrived
            self._workshop.metrics.wait_seconds.labels("click").observe(waited_s)
            if future.set_running_or_notify_cancel():
                yield from self._steps(future, image, prompts, request.mpp, model, cancelled)

        job = Job(steps, user, "click")
        self._workshop.submit(job)
        worker = self._workshop.worker
        # A cancelled one that has begun sees it at its next step, and takes it at once.
        future.add_done_callback(lambda done: done.cancelled() and not worker.withdraw(job))
        return future

    def _steps(
        self,
        future: Future[SegmentReply],
        image: TileImage,
        prompts: list[Prompt],
        mpp: float,
        model: ModelInfo,
        cancelled: Callable[[], bool],
    ) -> Iterator[None]:
        """Draw, in the worker's thread. Whatever happens, the future gets its end."""
        outcome = "failed"
        seen = RememberedWindows(image, self._windows)
        try:
            segmenter = self._workshop.shelf.take_segmenter(model.id)
            masks: list[MaskOut] = []
            for drawn in draw_masks(seen, prompts, segmenter, mpp=mpp, cancelled=cancelled):
                masks += [MaskOut.of(m.index, m.mask, m.score) for m in drawn]
                yield
            masks.sort(key=lambda mask: mask.index)
            outcome = "cancelled" if cancelled() else "complete"
            future.set_result(SegmentReply(masks=masks, segmenter=model.id))
        except NunextError as error:
            future.set_exception(error)
        except (Exception, SystemExit) as error:
            logger.exception("a segmentation failed")
            said = self._workshop.broke(model.name, error)
            future.set_exception(Refusal(500, said.code, said.message))
        finally:
            self._workshop.metrics.jobs.labels("segment", outcome).inc()


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
