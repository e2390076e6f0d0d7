"""Segmentation as a job: clicks, and what is drawn for them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, points_at
from napari_nunext.images.remembered import RememberedWindows, new_windows
from napari_nunext.models.segmenter import Prompt
from napari_nunext.models.whole_image.masks import draw_masks
from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared
from napari_nunext.serving.protocol import Failed, MaskOut, SegmentReply, SegmentRequest

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.serving.health.metrics import Metrics
    from napari_nunext.serving.jobs.fair_queue import Urgency
    from napari_nunext.serving.jobs.kind import Steps
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.models.shelf import Shelf
    from napari_nunext.serving.protocol import MaskPrompt, ModelInfo, Outline
    from napari_nunext.serving.settings import ServerSettings

WINDOWS_BYTES = 64 * 2**20
"""Memory for the pixels under recent clicks: windows of 1024 px for twenty of them."""

MOST_OUTLINE_PX = 2048
"""Side of an outline that a prompt corrects: no nucleus has so many."""

CANCELLED = Failed(
    code="cancelled", message="The masks were stopped before all were drawn. Ask for them again."
)
"""Some of the masks would read as if the others had no pixel."""


class Segment(Kind[SegmentRequest]):
    """Draw a mask for each prompt. Hanging up stops it."""

    name = "segment"
    request = SegmentRequest
    answer = SegmentReply
    streams = False

    def __init__(self, shelf: Shelf, metrics: Metrics) -> None:
        super().__init__(shelf, metrics)
        self._windows = new_windows(WINDOWS_BYTES)

    async def prepare(self, request: SegmentRequest, image: ImageSource) -> Prepared:
        """Choose a segmenter; `InputError` for a prompt that is empty or outside the image."""
        prompts = [_checked_prompt(prompt, image) for prompt in request.prompts]
        model = await asyncio.to_thread(self._shelf.choose, "segmenter", request.segmenter)
        steps = partial(self._steps, image, prompts, request.mpp, model)
        return Prepared(model.name, steps, unbegun=CANCELLED)

    def urgency(self, request: SegmentRequest) -> Urgency:
        """Somebody has clicked, and waits."""
        del request
        return "click"

    def limit_s(self, settings: ServerSettings) -> float:
        """The longest that somebody waits for masks."""
        return settings.max_segment_s

    def too_long(self, limit_s: float) -> Failed:
        """What is said when masks take too long."""
        return Failed(
            code="time_limit",
            message=f"The masks took longer than {limit_s:g} s. Ask for fewer.",
        )

    def _steps(
        self, image: ImageSource, prompts: list[Prompt], mpp: float, model: ModelInfo, work: Work
    ) -> Steps:
        seen = RememberedWindows(image, self._windows)
        segmenter = self._shelf.take_segmenter(model.id)
        masks: list[MaskOut] = []
        for drawn in draw_masks(seen, prompts, segmenter, mpp=mpp, cancelled=work.cancelled):
            masks += [MaskOut.of(m.index, m.mask, m.score) for m in drawn]
            yield None
        if work.cancelled():
            return Outcome(CANCELLED, "cancelled")
        masks.sort(key=lambda mask: mask.index)
        return Outcome(SegmentReply(masks=masks, segmenter=model.id), "complete")


def _checked_prompt(prompt: MaskPrompt, image: ImageSource) -> Prompt:
    points_xy = points_at(prompt.points)
    box = None if prompt.box is None else Box.from_sequence(prompt.box)
    if box is None and len(points_xy) == 0:
        raise InputError("A prompt has neither a point nor a box; expected at least one.")
    corners = () if box is None else ((box.x0, box.y0), (box.x1, box.y1))
    for x, y in (*points_xy.tolist(), *corners):
        if not (0 <= x <= image.box.x1 and 0 <= y <= image.box.y1):
            raise InputError(
                f"A prompt at ({x:g}, {y:g}) lies outside the image of {image.box.width:g} x "
                f"{image.box.height:g} pixels. Prompt inside it."
            )
    return Prompt(
        points_xy, tuple(p.positive for p in prompt.points), box, _checked_outline(prompt.outline)
    )


def _checked_outline(outline: Outline | None) -> Mask | None:
    if outline is None:
        return None
    height_px, width_px = outline.size
    if max(height_px, width_px) > MOST_OUTLINE_PX:
        raise InputError(
            f"An outline is {width_px} x {height_px} pixels; expected at most {MOST_OUTLINE_PX} a "
            "side. Leave it out."
        )
    return outline.to_mask()
