"""The classical detector and segmenter as the server runs any model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.models.classical.masks import OutlineParams, segment_prompts
from napari_nunext.models.classical.points import ClassicalParams, detect_nuclei
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nunext.models.detector import WindowEvent
    from napari_nunext.models.segmenter import Prompt

NAME = "Classical"
FAMILY = "classical"
MPP = 0.5
"""Scale of its windows: 20x, where the detector was tuned."""
WINDOW_PX = 512

METRICS = (
    {
        "data": "BRCA-M2C validation, 10 tiles",
        "f1": 0.816,
        "radius_um": 3.0,
        "matching": "gated",
        "benchmark": "benchmarks/classical.py",
    },
)


@dataclass(frozen=True, slots=True)
class ClassicalDetector:
    """`detect_nuclei` as a `napari_nunext.models.detector.Detector`."""

    params: ClassicalParams = field(default_factory=ClassicalParams)

    @property
    def info(self) -> DetectorInfo:
        """What this detector is."""
        params = self.params
        return DetectorInfo(
            name=NAME,
            family=FAMILY,
            categories=default_categories([UNCATEGORISED]),
            mpp=MPP,
            window_px=WINDOW_PX,
            halo_um=params.reach_um + params.separation_um,
            decoding=asdict(params),
            metrics=METRICS if params == ClassicalParams() else (),
        )

    def detect(
        self, windows: Sequence[NDArray[np.uint8]], *, cancelled: Callable[[], bool]
    ) -> Iterator[WindowEvent]:
        """Find the nuclei of each window; all of a window come at once."""
        for index, window in enumerate(windows):
            if cancelled():
                return
            points_xy, confidence = detect_nuclei(
                without_padding(window), mpp=MPP, params=self.params
            )
            categories = (UNCATEGORISED,) * len(points_xy)
            yield WindowPoints(index, points_xy, categories, tuple(confidence.tolist()))
            yield WindowEnd(index, "end")


@dataclass(frozen=True, slots=True)
class ClassicalSegmenter:
    """`segment_prompts` as a `napari_nunext.models.segmenter.Segmenter`."""

    params: OutlineParams = field(default_factory=OutlineParams)

    @property
    def info(self) -> SegmenterInfo:
        """What this segmenter is."""
        return SegmenterInfo(name=NAME, family=FAMILY, mpp=MPP, window_px=WINDOW_PX)

    def segment(
        self,
        window: NDArray[np.uint8],
        prompts: Sequence[Prompt],
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[ScoredMask]:
        """One mask for each prompt, in order."""
        for mask in segment_prompts(window, prompts, mpp=MPP, params=self.params):
            if cancelled():
                return
            yield mask


def without_padding(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the pure white margin, right and below, that fills a window beyond the image's edge.

    The step from tissue to white would look like the flank of a nucleus; at a true border the
    image is continued by reflection instead. An all white window stays as it is.
    """
    inked = (window != 255).any(axis=2)
    rows, cols = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if len(rows) == 0:
        return window
    return window[: rows[-1] + 1, : cols[-1] + 1]
