"""Detection as a stream of events: windows, seams, masks and costs. No network in here.

`napari_nunext.models.whole_image.search` finds the same nuclei in one call, for training and
evaluation.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.codec import CODEC_VERSION
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.tiling import SeamMerger, plan_windows
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts
from napari_nunext.models.whole_image.search import MERGE_RADIUS_UM, search
from napari_nunext.serving.models.describe import completed
from napari_nunext.serving.protocol import (
    Done,
    Hidden,
    MaskOut,
    Masks,
    PointOut,
    Points,
    Started,
    Usage,
    WindowDone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.core.tiling import SeamChange, Window
    from napari_nunext.models.detector import Caller, Detector, WindowEnd
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.models.whole_image.search import WindowReader
    from napari_nunext.serving.protocol import DetectEvent, DetectRequest, ModelInfo


def detect_events(
    image: WindowReader,
    request: DetectRequest,
    detector: Detector,
    take_segmenter: Callable[[], Segmenter] | None = None,
    *,
    run: str,
    model: ModelInfo,
    segmenter_model: ModelInfo | None = None,
    merge_radius_um: float = MERGE_RADIUS_UM,
    cancelled: Callable[[], bool] = lambda: False,
    caller: Caller | None = None,
) -> Iterator[DetectEvent | None]:
    """Find the nuclei that `request` asks for.

    Parameters
    ----------
    image : WindowReader
        The image that the request names.
    request : DetectRequest
        Its region and scale count; model, segmenter and run were resolved by the caller.
    detector : Detector
    take_segmenter : callable, optional
        Brings the segmenter that draws the nuclei into memory, once all points are told and there
        is something to draw; no masks without.
    run : str
        Id of the run.
    model, segmenter_model : ModelInfo
        What detector and segmenter are described as.
    merge_radius_um : float
        Points of different windows closer than this are one nucleus.
    cancelled : callable
        Asked before every step. What was found by then is settled and stays.
    caller : Caller, optional
        Who asks, where a detector may be searching for others as well.

    Yields
    ------
    Started, Points, Hidden, WindowDone, Masks, Usage, Done or None
        In the order that `napari_nunext.serving.protocol` describes. None only for a caller, after
        a step of the detector: so that others may take their turn.

    Raises
    ------
    InputError
        If the region does not touch the image. `CalibrationError`, if a scale is implausible.
    """
    began = time.perf_counter()
    found = _Search(image, request, detector, merge_radius_um, cancelled, caller)
    yield Started(
        run=run,
        model=completed(model, detector.info),
        segmenter=segmenter_model,
        windows=len(found.windows),
        codec_version=CODEC_VERSION,
        merge_radius_um=merge_radius_um,
        halo_um=detector.info.halo_um,
        decoding=detector.info.decoding,
    )
    yield from found.events()
    complete = found.windows_done == len(found.windows)
    standing = found.standing()
    if take_segmenter is not None and complete and standing:
        yield from _masks(image, standing, take_segmenter(), request.mpp, cancelled)
        complete = not cancelled()
    yield Usage(
        image_tokens=detector.info.image_tokens * found.windows_done,
        output_tokens=found.output_tokens,
        seconds=time.perf_counter() - began,
    )
    yield Done(points=len(standing), finish="complete" if complete else "cancelled")


def region_of(request: DetectRequest, image: WindowReader) -> Box:
    """The part of the image that a request means, level-0 px.

    Raises
    ------
    InputError
        If it is inside out, or does not touch the image.
    """
    whole = Box.of_image(image.width_px, image.height_px)
    if request.region is None:
        return whole
    region = Box.from_sequence(request.region).clipped_to(whole)
    if region.width == 0 or region.height == 0:
        raise InputError(
            f"The region {request.region} lies outside the image of {image.width_px} x "
            f"{image.height_px} pixels. Draw it on the image."
        )
    return region


class _Search:
    """The points of a run, while they are found."""

    def __init__(
        self,
        image: WindowReader,
        request: DetectRequest,
        detector: Detector,
        merge_radius_um: float,
        cancelled: Callable[[], bool],
        caller: Caller | None,
    ) -> None:
        info = detector.info
        self._image = image
        self._detector = detector
        self._cancelled = cancelled
        self._caller = caller
        self._region = region_of(request, image)
        self._radius_px = merge_radius_um / check_mpp(request.mpp)
        self.windows = plan_windows(
            self._region,
            Box.of_image(image.width_px, image.height_px),
            window_px=info.window_px,
            window_mpp=info.mpp,
            halo_um=info.halo_um,
            image_mpp=request.mpp,
        )
        self.windows_done = 0
        self.output_tokens = 0
        self._merger = SeamMerger(self._radius_px)
        self._points: list[PointOut] = []
        self._window_of: list[int] = []

    def standing(self) -> list[PointOut]:
        """Points that are shown, by index."""
        return [self._points[i] for i in self._merger.visible()]

    def events(self) -> Iterator[DetectEvent | None]:
        """Search window by window, and settle the seams in the end."""
        for said in search(
            self._image,
            self._detector,
            self.windows,
            cancelled=self._cancelled,
            caller=self._caller,
        ):
            if said is None:
                yield None
                continue
            window, event = said
            if isinstance(event, WindowPoints):
                yield from self._take(window, event)
            else:
                yield self._end(window, event)
        yield from self._told(self._merger.settle())

    def _take(self, window: Window, found: WindowPoints) -> Iterator[DetectEvent]:
        """Keep the points that are this window's to report."""
        here = window.to_level0(found.points_xy)
        mine = np.flatnonzero(
            window.speaks_for(self._radius_px / 2).contains(here) & self._region.contains(here)
        ).tolist()
        for i in mine:
            self._points.append(
                PointOut(
                    index=len(self._points),
                    x=here[i, 0],
                    y=here[i, 1],
                    category=found.categories[i],
                    confidence=found.confidence[i],
                )
            )
            self._window_of.append(window.index)
        sure = [found.confidence[i] for i in mine]
        yield from self._told(self._merger.add(window.index, here[mine], sure))

    def _end(self, window: Window, end: WindowEnd) -> WindowDone:
        self.windows_done += 1
        self.output_tokens += end.tokens
        return WindowDone(
            window=window.index,
            box=window.box.as_tuple(),
            finish=end.finish,
            done=self.windows_done,
            total=len(self.windows),
        )

    def _told(self, change: SeamChange) -> Iterator[DetectEvent]:
        if change.hidden:
            yield Hidden(indices=list(change.hidden))
        by_window: dict[int, list[PointOut]] = {}
        for i in change.shown:
            by_window.setdefault(self._window_of[i], []).append(self._points[i])
        for window_index, points in by_window.items():
            yield Points(window=window_index, points=points)


def _masks(
    image: WindowReader,
    points: list[PointOut],
    segmenter: Segmenter,
    mpp: float,
    cancelled: Callable[[], bool],
) -> Iterator[DetectEvent]:
    """Draw the points that stand."""
    prompts = point_prompts(np.array([(p.x, p.y) for p in points]).reshape(-1, 2))
    for drawn in draw_masks(image, prompts, segmenter, mpp=mpp, cancelled=cancelled):
        yield Masks(masks=[MaskOut.of(points[d.index].index, d.mask, d.score) for d in drawn])
