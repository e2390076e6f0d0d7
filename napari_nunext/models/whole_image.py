"""Detection in a whole image by one call: for training, evaluation and scripts.

The server streams the same windows, over the same core functions, to people who watch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.tiling import SeamMerger, plan_windows
from napari_nunext.models.detector import WindowPoints

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

WINDOWS_AT_ONCE = 64
"""Windows read ahead and handed to the detector together."""


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
    for window, event in _events(image, detector, windows, cancelled):
        found.take(window, event)
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


def _events(
    image: WindowReader,
    detector: Detector,
    windows: tuple[Window, ...],
    cancelled: Callable[[], bool],
) -> Iterator[tuple[Window, WindowEvent]]:
    """What the detector says, each time with the window it says it of."""
    for start in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[start : start + WINDOWS_AT_ONCE]
        pixels = [image.read_window(w.box, w.side_px) for w in batch]
        for event in detector.detect(pixels, cancelled=cancelled):
            yield batch[event.window], event
        if cancelled():
            return
