"""Detection in a whole image by one call: for training, evaluation and scripts.

The server streams the same windows, over the same core functions, to people who watch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.tiling import SeamMerger, plan_windows
from napari_nunext.models.detector import Caller, SharedDetector, WindowPoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.tiling import Window
    from napari_nunext.models.detector import Detector, DetectorInfo, WindowEvent

    class WindowReader(Protocol):
        """As much of an image as detection needs."""

        @property
        def width_px(self) -> int:
            """Width, level-0 px."""
            ...

        @property
        def height_px(self) -> int:
            """Height, level-0 px."""
            ...

        def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
            """The box resampled to ``(out_px, out_px, 3)``, white beyond the image."""
            ...


MERGE_RADIUS_UM = 2.0
"""Points of different windows closer than this are one nucleus."""

FIRST_WINDOWS = 2
"""Windows given to a detector first that is not shared; each time twice as many, ..."""
MOST_WINDOWS = 64
"""... until they are so many."""


@dataclass(frozen=True, eq=False, slots=True)
class Detections:
    """The nuclei found in an image, row by row of its windows."""

    points_xy: PointsXY
    """Shape (N, 2), level-0 pixels, corner origin."""
    categories: tuple[str, ...]
    confidence: NDArray[np.float64]
    """Shape (N,)."""
    windows_cut_off: int
    """Windows that held more nuclei than the detector lets a window hold."""

    def __len__(self) -> int:
        return len(self.points_xy)


def detect_image(
    image: WindowReader,
    detector: Detector,
    *,
    mpp: float,
    region: Box | None = None,
    merge_radius_um: float = MERGE_RADIUS_UM,
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
    merge_radius_um : float
        Points of different windows closer than this are one nucleus, the surer one.
    cancelled : callable
        Asked before every step of the detector; what was found so far is returned.

    Raises
    ------
    CalibrationError
        If a scale is implausible.
    """
    whole = Box.of_image(image.width_px, image.height_px)
    region = whole if region is None else region.clipped_to(whole)
    windows = plan_image(image, detector.info, mpp=mpp, region=region)
    found = Gathering(region, mpp=mpp, merge_radius_um=merge_radius_um)
    for said in search(image, detector, windows, cancelled=cancelled):
        if said is not None:
            found.take(*said)
    return found.result()


def plan_image(
    image: WindowReader, info: DetectorInfo, *, mpp: float, region: Box | None = None
) -> tuple[Window, ...]:
    """The windows in which a detector sees an image, or a region of it, row by row."""
    whole = Box.of_image(image.width_px, image.height_px)
    return plan_windows(
        whole if region is None else region,
        whole,
        window_px=info.window_px,
        window_mpp=info.mpp,
        halo_um=info.halo_um,
        image_mpp=mpp,
    )


class Gathering:
    """The nuclei of an image, while its windows are searched in any order.

    Parameters
    ----------
    region : Box
        Nuclei beyond it do not count; level-0 pixels.
    mpp : float
        Micrometres per level-0 pixel of the image.
    merge_radius_um : float
        Points of different windows closer than this are one nucleus, the surer one.
    """

    def __init__(
        self, region: Box, *, mpp: float, merge_radius_um: float = MERGE_RADIUS_UM
    ) -> None:
        self._region = region
        self._radius_px = merge_radius_um / check_mpp(mpp)
        self._merger = SeamMerger(self._radius_px)
        self._points: list[tuple[float, float]] = []
        self._categories: list[str] = []
        self._confidence: list[float] = []
        self._cut_off = 0

    def take(self, window: Window, event: WindowEvent) -> None:
        """Keep the points that are this window's to report."""
        if not isinstance(event, WindowPoints):
            self._cut_off += event.finish == "limit"
            return
        here = window.to_level0(event.points_xy)
        mine = np.flatnonzero(
            window.speaks_for(self._radius_px / 2).contains(here) & self._region.contains(here)
        )
        sure = [event.confidence[i] for i in mine]
        self._merger.add(window.index, here[mine], sure)
        self._points += [(float(x), float(y)) for x, y in here[mine]]
        self._categories += [event.categories[i] for i in mine]
        self._confidence += sure

    def result(self) -> Detections:
        """The nuclei that stand, in the order in which they were taken."""
        self._merger.settle()
        kept = list(self._merger.visible())
        return Detections(
            np.array(self._points, dtype=np.float64).reshape(-1, 2)[kept],
            tuple(self._categories[i] for i in kept),
            np.array(self._confidence, dtype=np.float64)[kept],
            self._cut_off,
        )


def search(
    image: WindowReader,
    detector: Detector,
    windows: Sequence[Window],
    *,
    cancelled: Callable[[], bool],
    caller: Caller | None = None,
) -> Iterator[tuple[Window, WindowEvent] | None]:
    """What a detector says of some windows, each time with the window it says it of.

    Windows are read when the detector comes to them. One that several share gets all of them, and
    fills the places of those that are done; others get a few first, so that something is seen
    soon, and then more and more.

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

    Yields
    ------
    (Window, WindowEvent) or None
        None only for a caller, after a step: so that others may take their turn.
    """
    if isinstance(detector, SharedDetector):
        pixels = _LazyWindows(image, windows)
        for event in detector.detect_for(caller or Caller(), pixels, cancelled=cancelled):
            if event is not None:
                yield windows[event.window], event
            elif caller is not None:
                yield None
        return
    for batch in _batches(windows):
        for said in detector.detect(_LazyWindows(image, batch), cancelled=cancelled):
            yield batch[said.window], said
        if cancelled():
            return


class _LazyWindows(Sequence["NDArray[np.uint8]"]):
    """Windows that are read when somebody comes to them."""

    def __init__(self, image: WindowReader, windows: Sequence[Window]) -> None:
        self._image = image
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return _LazyWindows(self._image, self._windows[index])
        window = self._windows[index]
        return self._image.read_window(window.box, window.side_px)


def _batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    start, size = 0, FIRST_WINDOWS
    while start < len(windows):
        yield windows[start : start + size]
        start, size = start + size, min(2 * size, MOST_WINDOWS)
