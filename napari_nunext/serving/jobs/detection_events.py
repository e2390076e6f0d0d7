"""Detection as a stream of events: windows, seams, masks and costs. No network in here.

`napari_nunext.models.whole_image.search` finds the same nuclei in one call, for training and
evaluation: both are told by one `napari_nunext.models.whole_image.gathering.Gathering`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from napari_nunext.core.codec import CODEC_VERSION
from napari_nunext.core.errors import DamagedRegionError, InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.image.tissue import windows_of_glass
from napari_nunext.core.seams import SeamChange, reach_px
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.whole_image.gathering import MERGE_RADIUS_UM, Gathering
from napari_nunext.models.whole_image.mask_regions import MaskRegions
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts, segmenter_windows
from napari_nunext.models.whole_image.search import (
    WindowDamaged,
    asked_about,
    plan_image,
    search,
    wanted_of,
)
from napari_nunext.serving.jobs.resuming import plan_of, take_up
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
    WindowFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.tiling import Window, WindowGrid
    from napari_nunext.models.detector import Caller, Detector
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.protocol import DetectEvent, DetectRequest, ModelInfo, Resume


_Step = TypeVar("_Step")

POINTS_FIRST_S = 2.0
"""So long is searched before the first mask is drawn: a tile has its points by then. After that,
drawing gets no more time than the search has had: the last point comes at most twice as late."""


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
    clock: Callable[[], float] = time.perf_counter,
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
        Brings the segmenter that draws the nuclei into memory, once there is something to draw; no
        masks without.
    run : str
        Id of the run.
    model, segmenter_model : ModelInfo
        What detector and segmenter are described as; the segmenter's with the size of its windows.
    merge_radius_um : float
        Points of different windows closer than this are one nucleus.
    cancelled : callable
        Asked before every step. What was found by then is settled and stays.
    caller : Caller, optional
        Who asks, where a detector may be searching for others as well.
    clock : callable
        Seconds, from any start.

    Yields
    ------
    Started, Points, Hidden, WindowDone, WindowFailed, Masks, Usage, Done or None
        In the order that `napari_nunext.serving.protocol` describes. None only for a caller, after
        a step of the detector: so that others may take their turn.

    Raises
    ------
    InputError
        If the region does not touch the image. `CalibrationError`, if a scale is implausible.
    """
    began = clock()
    info, region = detector.info, region_of(request, image)
    only = wanted_of(info, request.only or ())
    among, decoding = asked_about(image, info, mpp=request.mpp, only=only)
    info = replace(info, decoding=info.decoding | decoding)
    windows = plan_image(image, info, mpp=request.mpp, region=region)
    glass = frozenset[int]()
    if request.tissue:
        with suppress(DamagedRegionError):  # what cannot be seen whole is searched whole
            glass = windows_of_glass(image, region, windows, mpp=request.mpp, pen=bool(request.pen))
    area = request.area
    beyond = windows.beyond(area)
    glass -= beyond
    left_out = glass | beyond
    found = Gathering(
        region,
        windows,
        mpp=request.mpp,
        merge_radius_um=merge_radius_um,
        left_out=left_out,
        area=area,
    )
    told = partial(_told, found, errors=bool(request.position_error))
    searching = _Stopwatch(clock)
    outlines = None
    if take_segmenter is not None:
        assert segmenter_model is not None
        outlines = _Outlines(
            image,
            found,
            windows,
            left_out,
            segmenter_model,
            take_segmenter,
            request.mpp,
            cancelled,
            _Stopwatch(clock),
        )
    model = completed(model, info)
    plan = plan_of(
        request,
        region,
        windows,
        info,
        model=model,
        segmenter=segmenter_model,
        merge_radius_um=merge_radius_um,
        left_out=left_out,
    )
    resume = request.resume
    if resume is not None and resume.plan != plan:
        resume = None
    yield Started(
        run=run,
        model=model,
        segmenter=segmenter_model,
        windows=found.windows_wanted,
        codec_version=CODEC_VERSION,
        merge_radius_um=merge_radius_um,
        halo_um=info.halo_um,
        decoding=info.decoding,
        plan=plan,
        windows_left_out=len(glass),
        windows_beyond=len(beyond),
        resumed=resume is not None,
    )
    if resume is not None:
        standing = take_up(resume, windows, found, left_out)
        yield from told(SeamChange(shown=found.standing()), since=0)
        if outlines is not None:
            outlines.follow_earlier(resume, standing)
    done = frozenset(resume.done if resume else ())
    order = windows.without(done | left_out, near_xy=request.near)
    steps = search(
        image, detector, order, cancelled=cancelled, caller=caller, only=only, among=among
    )
    for said in searching.of(steps):
        if said is None:
            yield None
        else:
            window, event = said
            if isinstance(event, WindowDamaged):
                found.windows_damaged += 1
                yield WindowFailed(
                    window=window.index, box=window.box.as_tuple(), message=str(event.error)
                )
                continue
            known = len(found)
            change = found.take(window, event)
            yield from told(change, since=known)
            if not isinstance(event, WindowPoints):
                yield WindowDone(
                    window=window.index,
                    box=window.box.as_tuple(),
                    finish=event.finish,
                    done=found.windows_done,
                    total=found.windows_wanted,
                )
            if outlines is not None:
                outlines.follow(change, None if isinstance(event, WindowPoints) else window)
        if outlines is not None:
            yield from outlines.draw_known(searching.seconds, caller)
    change = found.settle()
    yield from told(change, since=len(found))
    if outlines is not None and found.nothing_left:
        if found.complete:
            outlines.follow(change, None)
            yield from outlines.draw_rest()
        else:  # around a window that failed nothing stands for good
            yield from outlines.draw_all_known()
    yield Usage(
        image_tokens=info.image_tokens * found.windows_done,
        output_tokens=found.tokens,
        seconds=clock() - began,
    )
    finish: Literal["complete", "incomplete", "cancelled"] = "cancelled"
    if found.nothing_left and not (outlines is not None and cancelled()):
        finish = "complete" if found.complete else "incomplete"
    yield Done(points=len(found.standing()), finish=finish)


def region_of(request: DetectRequest, image: WindowReader) -> Box:
    """The part of the image that a request means, level-0 px.

    Raises
    ------
    InputError
        If it is inside out, or does not touch the image.
    """
    if request.region is None:
        return image.box
    region = Box.from_sequence(request.region).clipped_to(image.box)
    if region.width == 0 or region.height == 0:
        raise InputError(
            f"The region {request.region} lies outside the image of {image.box.width:g} x "
            f"{image.box.height:g} pixels. Draw it on the image."
        )
    return region


def _told(
    found: Gathering, change: SeamChange, *, since: int, errors: bool
) -> Iterator[DetectEvent]:
    """Say what changes, and of all sightings since a certain one that they are there.

    With `errors`, and how far off they may be.
    """
    new = range(since, len(found))
    if change.hidden:
        yield Hidden(indices=list(change.hidden))
    by_window: dict[int, list[PointOut]] = {}
    for index in sorted({*new, *change.shown}):
        seen = found[index]
        point = PointOut(
            index=index,
            x=seen.x,
            y=seen.y,
            category=seen.category,
            confidence=seen.confidence,
            position_error_um=seen.position_error_um if errors else None,
        )
        by_window.setdefault(seen.window, []).append(point)
    for window_index, points in by_window.items():
        yield Points(window=window_index, points=points)
    if lost := sorted({*new} - {*change.shown}):
        yield Hidden(indices=lost)


class _Stopwatch:
    """Sums what steps take, without what happens between them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = 0.0

    def of(self, steps: Iterator[_Step]) -> Iterator[_Step]:
        """The same steps."""
        while True:
            began = self._clock()
            try:
                step = next(steps)
            except StopIteration:
                return
            finally:
                self.seconds += self._clock() - began
            yield step


class _Outlines:
    """The masks of a run, drawn region by region while its windows are searched."""

    def __init__(
        self,
        image: WindowReader,
        found: Gathering,
        windows: WindowGrid,
        left_out: Set[int],
        model: ModelInfo,
        take_segmenter: Callable[[], Segmenter],
        mpp: float,
        cancelled: Callable[[], bool],
        drawing: _Stopwatch,
    ) -> None:
        self._drawing = drawing
        self._image = image
        self._found = found
        self._take_segmenter = take_segmenter
        self._segmenter: Segmenter | None = None
        self._mpp = mpp
        self._cancelled = cancelled
        assert model.window_px is not None
        drawn = segmenter_windows(
            image, window_px=model.window_px, window_mpp=check_mpp(model.mpp), mpp=mpp
        )
        self._windows = windows
        self._regions = MaskRegions(windows, drawn, reach_px(found.radius_px), left_out)

    def follow_earlier(self, resume: Resume, standing: Sequence[int]) -> None:
        """These stand for good of what was found before; those of them that have none get masks."""
        bare = [index for index in standing if not resume.sighted[index].outlined]
        self._regions.stand(bare, self._xy(bare))
        for window in resume.done:
            self._regions.end(self._windows[window])

    def follow(self, change: SeamChange, ended: Window | None) -> None:
        """Something was told of what is found, and perhaps a window has ended by it."""
        if change.settled:
            self._regions.stand(change.settled, self._xy(change.settled))
        if ended is not None:
            self._regions.end(ended)

    def draw_known(self, searched_s: float, caller: Caller | None) -> Iterator[DetectEvent]:
        """Draw the regions that are known, as far as the search has had its time.

        What others' turns brought is passed on first, for it is reckoned as no turn of one's own.
        """
        regions = self._regions.known()
        while searched_s >= max(POINTS_FIRST_S, self._drawing.seconds):
            if caller is not None and caller.has_news:
                return
            if (indices := next(regions, None)) is None:
                return
            yield from self._draw(indices)

    def draw_all_known(self) -> Iterator[DetectEvent]:
        """Draw the regions that are known."""
        for indices in self._regions.known():
            yield from self._draw(indices)

    def draw_rest(self) -> Iterator[DetectEvent]:
        """Draw all that is left."""
        for indices in self._regions.rest():
            yield from self._draw(indices)

    def _draw(self, indices: list[int]) -> Iterator[DetectEvent]:
        if self._cancelled():
            return
        if self._segmenter is None:
            self._segmenter = self._take_segmenter()
        masks = draw_masks(
            self._image,
            point_prompts(self._xy(indices)),
            self._segmenter,
            mpp=self._mpp,
            cancelled=self._cancelled,
        )
        with suppress(DamagedRegionError):  # what lies there has no outline
            for drawn in self._drawing.of(masks):
                yield Masks(masks=[MaskOut.of(indices[m.index], m.mask, m.score) for m in drawn])

    def _xy(self, indices: Sequence[int]) -> PointsXY:
        xy = [(self._found[i].x, self._found[i].y) for i in indices]
        return np.array(xy, dtype=np.float64).reshape(-1, 2)
