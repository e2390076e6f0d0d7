"""Detection in a whole image by one call: for training, evaluation and scripts.

The server streams the same windows, over the same core functions, to people who watch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, overload

import numpy as np

from napari_nunext.core.errors import DamagedRegionError
from napari_nunext.core.image.tissue import windows_of_glass
from napari_nunext.core.naming import in_order, only_in_decoding
from napari_nunext.core.shapes.area import EVERYTHING
from napari_nunext.core.stains.telling import categories_under, stain_in_decoding
from napari_nunext.core.tiling import plan_grid
from napari_nunext.models.detector import (
    Caller,
    SharedDetector,
    WindowEnd,
    WindowEvent,
    WindowPoints,
)
from napari_nunext.models.whole_image.gathering import MERGE_RADIUS_UM, Gathering
from napari_nunext.models.whole_image.stain import seen_stain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.shapes.area import Area
    from napari_nunext.core.stains.telling import Stain
    from napari_nunext.core.tiling import Window, WindowGrid
    from napari_nunext.models.detector import Detector, DetectorInfo
    from napari_nunext.models.whole_image.gathering import Detections

FIRST_WINDOWS = 2
"""Windows given to a detector first that is not shared; each time twice as many, ..."""
MOST_WINDOWS = 64
"""... until they are so many."""


@dataclass(frozen=True, slots=True)
class WindowDamaged:
    """A window whose pixels cannot be decoded: nothing is known of it, and it is not done."""

    error: DamagedRegionError


Said: TypeAlias = WindowEvent | WindowDamaged
"""What is said of a window."""


def detect_image(
    image: WindowReader,
    detector: Detector,
    *,
    mpp: float,
    region: Box | None = None,
    area: Area = EVERYTHING,
    merge_radius_um: float = MERGE_RADIUS_UM,
    tissue: bool = False,
    pen: bool = False,
    only: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, windows: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Detections:
    """Find every nucleus in an image, window by window, seams merged.

    Parameters
    ----------
    image : WindowReader
        For example what `napari_nunext.images.open_image` returns.
    detector : Detector
    mpp : float
        Micrometres per level-0 pixel of the image.
    region : Box, optional
        Level-0 pixels; the whole image by default.
    area : Area
        What of the region is searched.
    merge_radius_um : float
        Points of different windows closer than this are one nucleus, the surer one.
    tissue : bool
        Whether windows of bare glass are left out (`napari_nunext.core.image.tissue`).
    pen : bool
        Whether marks of a pen count as glass.
    only : sequence of str
        Categories that are searched for alone, as `wanted_of` has them; everything by default.
    cancelled : callable
        Asked before every step of the detector; what was found so far is returned.

    Raises
    ------
    CalibrationError
        If a scale is implausible.
    DamagedRegionError
        If part of the image cannot be decoded.
    """
    region = image.box if region is None else region.clipped_to(image.box)
    windows = plan_image(image, detector.info, mpp=mpp, region=region)
    glass = frozenset[int]()
    if tissue:
        glass = windows_of_glass(image, region, windows, mpp=mpp, pen=pen)
    left_out = glass | windows.beyond(area)
    found = Gathering(
        region, windows, mpp=mpp, merge_radius_um=merge_radius_um, left_out=left_out, area=area
    )
    order = windows.without(left_out)
    among, decoding = asked_about(image, detector.info, mpp=mpp, only=only)
    for said in search(image, detector, order, cancelled=cancelled, only=only, among=among):
        if said is not None:
            window, event = undamaged(said)
            found.take(window, event)
            if isinstance(event, WindowEnd):
                progress(found.windows_done, found.windows_wanted)
    return replace(found.result(), decoding=decoding)


def wanted_of(info: DetectorInfo, only: Sequence[str]) -> tuple[str, ...]:
    """Categories that are searched for alone, as the detector knows them; none for everything.

    Raises
    ------
    InputError
        If it does not know one.
    """
    return in_order(only, [category.name for category in info.categories]) if only else ()


def is_asked(info: DetectorInfo, only: Sequence[str]) -> bool:
    """Whether a detector is asked for these alone, rather than the others left out.

    It is asked for what it has learned to be asked for. Either way nothing else is found: what it
    says of other categories does not count, and no seam is settled by it.
    """
    return bool(only) and set(only) <= set(info.named_prompts)


def among_of(info: DetectorInfo, stain: Stain | None, only: Sequence[str] = ()) -> tuple[str, ...]:
    """Categories that a detector chooses from under a stain; empty for all of them.

    Who searches for a category that no nucleus has under it is taken at their word. So is who
    taught the detector one on such images.
    """
    known = [category.name for category in info.categories]
    among = categories_under(stain, known, taught_on_dab=info.taught_on_dab)
    return among if not only or set(only) & set(among) else ()


def asked_about(
    image: WindowReader, info: DetectorInfo, *, mpp: float, only: Sequence[str] = ()
) -> tuple[tuple[str, ...], dict[str, object]]:
    """How a detector is asked about an image.

    Returns
    -------
    among : tuple of str
        Categories that it chooses from, by the stain of the image; empty for all of them.
    decoding : dict
        What a run remembers of this, beside how the detector decodes.
    """
    stain = seen_stain(image, info, mpp=mpp)
    among = among_of(info, stain, only)
    by_names = only_in_decoding(only, asked=is_asked(info, only))
    return among, by_names | stain_in_decoding(stain, among)


def undamaged(said: tuple[Window, Said]) -> tuple[Window, WindowEvent]:
    """The same, for who wants all windows or none; raises `DamagedRegionError`."""
    window, event = said
    if isinstance(event, WindowDamaged):
        raise event.error
    return window, event


def plan_image(
    image: WindowReader, info: DetectorInfo, *, mpp: float, region: Box | None = None
) -> WindowGrid:
    """The windows in which a detector sees an image, or a region of it, row by row."""
    return plan_grid(
        image.box if region is None else region,
        image.box,
        window_px=info.window_px,
        window_mpp=info.mpp,
        halo_um=info.halo_um,
        image_mpp=mpp,
    )


def search(
    image: WindowReader,
    detector: Detector,
    windows: Sequence[Window],
    *,
    cancelled: Callable[[], bool],
    caller: Caller | None = None,
    only: Sequence[str] = (),
    among: Sequence[str] = (),
) -> Iterator[tuple[Window, Said] | None]:
    """What a detector says of some windows, each time with the window it says it of.

    Windows are read when the detector comes to them. One that several share gets all of them, and
    fills the places of those that are done; others get a few first, so that something is seen
    soon, and then more and more. Of a window whose pixels are damaged a detector is shown white,
    and what it says of that is left out.

    Parameters
    ----------
    image : WindowReader
    detector : Detector
    windows : sequence of Window
        Of the detector's size, in any order.
    cancelled : callable
        Asked before every step of the detector; once it is True, nothing more is said.
    caller : Caller, optional
        Who asks, where somebody else may.
    only : sequence of str
        Categories that are searched for alone; everything by default.
    among : sequence of str
        Categories that a detector which several share chooses from; all by default.

    Yields
    ------
    (Window, WindowPoints or WindowEnd or WindowDamaged) or None
        None only for a caller, after a step: so that others may take their turn.
    """
    who = caller or Caller()
    who.asked = tuple(only) if is_asked(detector.info, only) else ()
    who.among = tuple(among)
    for said in _heard(image, detector, windows, cancelled, who):
        if said is not None:
            yield said if not only else (said[0], _without_others(said[1], only))
        elif caller is not None:
            yield None


def _without_others(said: Said, only: Sequence[str]) -> Said:
    if not isinstance(said, WindowPoints):
        return said
    kept = [i for i, category in enumerate(said.categories) if category in only]
    return replace(
        said,
        points_xy=said.points_xy[kept],
        categories=tuple(said.categories[i] for i in kept),
        confidence=tuple(said.confidence[i] for i in kept),
        position_error_um=said.position_error_um and tuple(said.position_error_um[i] for i in kept),
    )


def _heard(
    image: WindowReader,
    detector: Detector,
    windows: Sequence[Window],
    cancelled: Callable[[], bool],
    caller: Caller,
) -> Iterator[tuple[Window, Said] | None]:
    """All that a detector says, whatever it is asked for; None after a step of a shared one."""
    if isinstance(detector, SharedDetector):
        pixels = LazyWindows(image, windows)
        for event in detector.detect_for(caller, pixels, cancelled=cancelled):
            if event is None:
                yield None
            else:
                yield from pixels.said(event)
        return
    for batch in _batches(windows):
        pixels = LazyWindows(image, batch)
        for event in detector.detect(pixels, cancelled=cancelled):
            yield from pixels.said(event)
        if cancelled():
            return


class LazyWindows(Sequence["NDArray[np.uint8]"]):
    """Windows that are read when somebody comes to them, here or elsewhere.

    Parameters
    ----------
    image : WindowReader
    windows : sequence of Window
    damaged : dict, optional
        Takes what cannot be decoded, by the number of the window in its grid; shared with slices.
    """

    def __init__(
        self,
        image: WindowReader,
        windows: Sequence[Window],
        damaged: dict[int, DamagedRegionError] | None = None,
    ) -> None:
        self._image = image
        self._windows = windows
        self._damaged = {} if damaged is None else damaged

    @property
    def image(self) -> WindowReader:
        """What they are read from."""
        return self._image

    def boxes(self) -> tuple[Box, ...]:
        """Where each lies, level-0 px."""
        return tuple(window.box for window in self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return LazyWindows(self._image, self._windows[index], self._damaged)
        window = self._windows[index]
        try:
            return self._image.read_window(window.box, window.side_px)
        except DamagedRegionError as error:
            self._damaged[window.index] = error
            return np.full((window.side_px, window.side_px, 3), 255, dtype=np.uint8)

    def said(self, event: WindowEvent) -> Iterator[tuple[Window, Said]]:
        """What a detector says, with its window; nothing that it makes of damaged pixels."""
        window = self._windows[event.window]
        error = self._damaged.get(window.index)
        if error is None:
            yield window, event
        elif isinstance(event, WindowEnd):
            yield window, WindowDamaged(error)


def _batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    start, size = 0, FIRST_WINDOWS
    while start < len(windows):
        yield windows[start : start + size]
        start, size = start + size, min(2 * size, MOST_WINDOWS)
