"""Detector and segmenter from anything that draws a label image of a window.

A nucleus is found at the centroid of its label's pixels, and a prompt is answered with the label
that it points at. Both ask one `Labeller`, which remembers the label images it drew last: masks of
what was just found, and further clicks, cost no second run.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy

from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.classical.adapters import without_padding
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.models.detector import WindowEvent
    from napari_nunext.models.segmenter import Prompt

HALO_UM = 10.0
"""A nucleus this far from a window's edge is seen whole."""
NEAREST_UM = 1.5
"""A click this close beside a nucleus still means it: people click beside small ones."""
LEAST_SIDE_PX = 64
"""Windows that the image's edge leaves narrower are continued by reflection."""
REMEMBERED_WINDOWS = 64
"""Label images kept, of 1 MiB each for windows of 512 px."""


@dataclass(frozen=True, eq=False, slots=True)
class Labels:
    """The instances of a window."""

    image: NDArray[np.int32]
    """Shape (H, W), pixels of the window; 0 is background."""
    confidence: NDArray[np.float64]
    """Of label i at ``[i - 1]``, in [0, 1]; no shorter than the largest label."""


class LabelModel(Protocol):
    """Draws the instances of an RGB image."""

    def __call__(self, rgb: NDArray[np.uint8]) -> Labels:
        """The instances of `rgb`, shape (H, W, 3), each side at least `LEAST_SIDE_PX`."""
        ...


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What is known of a label model before it is loaded."""

    name: str
    """For people."""
    family: str
    mpp: float
    """Scale that it is run at; windows are resampled to it."""
    window_px: int
    package: str
    """Distribution and version, which a prediction remembers."""

    def detector_info(self) -> DetectorInfo:
        """As a detector."""
        return DetectorInfo(
            name=self.name,
            family=self.family,
            categories=default_categories([UNCATEGORISED]),
            mpp=self.mpp,
            window_px=self.window_px,
            halo_um=HALO_UM,
            provenance={"package": self.package},
        )

    def segmenter_info(self) -> SegmenterInfo:
        """As a segmenter."""
        return SegmenterInfo(
            name=self.name,
            family=self.family,
            mpp=self.mpp,
            window_px=self.window_px,
            provenance={"package": self.package},
        )


class Labeller:
    """A label model with a memory. Safe between threads, one window at a time.

    Parameters
    ----------
    model : LabelModel
    """

    def __init__(self, model: LabelModel) -> None:
        self._model = model
        self._drawn: OrderedDict[bytes, Labels] = OrderedDict()
        self._lock = threading.Lock()

    def labels(self, window: NDArray[np.uint8]) -> Labels:
        """The instances of a window, shape (H, W, 3); none in its white margin.

        The margin right and below, which fills a window beyond the image's edge, is cut off before
        the model sees it: a model that scales grey values by percentiles would else scale by glass.
        """
        key = hashlib.sha256(window.tobytes()).digest()
        with self._lock:
            labels = self._drawn.get(key)
            if labels is None:
                labels = self._drawn[key] = self._draw(window)
                if len(self._drawn) > REMEMBERED_WINDOWS:
                    self._drawn.popitem(last=False)
            self._drawn.move_to_end(key)
            return labels

    def _draw(self, window: NDArray[np.uint8]) -> Labels:
        canvas = np.zeros(window.shape[:2], dtype=np.int32)
        if (window == 255).all():
            return Labels(canvas, np.empty(0))
        tissue = without_padding(window)
        height, width = tissue.shape[:2]
        missing = [(0, max(LEAST_SIDE_PX - side, 0)) for side in (height, width)]
        drawn = self._model(np.pad(tissue, [*missing, (0, 0)], mode="symmetric"))
        canvas[:height, :width] = drawn.image[:height, :width]
        return Labels(canvas, np.clip(drawn.confidence, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class LabelDetector:
    """A `Labeller` as a `napari_nunext.models.detector.Detector`."""

    labeller: Labeller
    info: DetectorInfo

    def detect(
        self, windows: Sequence[NDArray[np.uint8]], *, cancelled: Callable[[], bool]
    ) -> Iterator[WindowEvent]:
        """Find the nuclei of each window; all of a window come at once, by ascending label."""
        for index in range(len(windows)):
            if cancelled():
                return
            labels = self.labeller.labels(windows[index])
            points_xy, used = centroids(labels.image)
            confidence = labels.confidence[used - 1]
            categories = (UNCATEGORISED,) * len(used)
            yield WindowPoints(index, points_xy, categories, tuple(confidence.tolist()))
            yield WindowEnd(index, "end")


@dataclass(frozen=True, slots=True)
class LabelSegmenter:
    """A `Labeller` as a `napari_nunext.models.segmenter.Segmenter`."""

    labeller: Labeller
    info: SegmenterInfo

    def segment(
        self,
        window: NDArray[np.uint8],
        prompts: Sequence[Prompt],
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[ScoredMask]:
        """The instance that each prompt points at, in order; an empty mask where there is none.

        A prompt means the label under most of its positive points, within `NEAREST_UM` of them;
        without such points, the label with most pixels in its box. A label under one of its
        negative points is none of its.
        """
        if cancelled():
            return
        labels = self.labeller.labels(window)
        reach_px = NEAREST_UM / self.info.mpp
        for prompt in prompts:
            if cancelled():
                return
            label = _meant(labels.image, prompt, reach_px)
            if label == 0:
                yield ScoredMask(Mask.from_array(np.zeros((0, 0), dtype=bool)), 0.0)
            else:
                mask = Mask.from_array(labels.image == label)
                yield ScoredMask(mask, float(labels.confidence[label - 1]))


def centroids(labels: NDArray[np.int32]) -> tuple[PointsXY, NDArray[np.intp]]:
    """Means of the centres of each label's pixels, and the labels, ascending.

    Returns
    -------
    points_xy : ndarray, shape (N, 2)
        Pixels, corner origin: the centre of the first pixel is (0.5, 0.5).
    used : ndarray of int, shape (N,)
        The label of each point; numbers may be left out.
    """
    numbers = np.unique(labels)
    used = numbers[numbers > 0].astype(np.intp)
    if len(used) == 0:
        return np.empty((0, 2)), used
    rows_columns = np.array(scipy.ndimage.center_of_mass(labels > 0, labels, used))
    return rows_columns[:, ::-1] + 0.5, used


def _meant(labels: NDArray[np.int32], prompt: Prompt, reach_px: float) -> int:
    """Label of the instance that a prompt points at, or 0."""
    votes: dict[int, int] = {}
    refused = {0}
    for (x, y), positive in zip(prompt.points_xy.tolist(), prompt.positive, strict=True):
        if positive:
            label = _label_near(labels, x, y, reach_px)
            votes[label] = votes.get(label, 0) + 1
        else:
            refused.add(_label_near(labels, x, y, 0.0))
    if not any(prompt.positive) and prompt.box is not None:
        x0, y0, x1, y1 = (max(round(edge), 0) for edge in prompt.box.as_tuple())
        inside, pixels = np.unique(labels[y0:y1, x0:x1], return_counts=True)
        votes = dict(zip(inside.tolist(), pixels.tolist(), strict=True))
    allowed = [(-count, label) for label, count in votes.items() if label not in refused]
    return min(allowed)[1] if allowed else 0


def _label_near(labels: NDArray[np.int32], x: float, y: float, reach_px: float) -> int:
    """The label at a point, else the one whose pixel is nearest within reach, else 0."""
    height, width = labels.shape
    column, row = int(np.floor(x)), int(np.floor(y))
    if 0 <= row < height and 0 <= column < width and labels[row, column]:
        return int(labels[row, column])
    reach = int(np.ceil(reach_px))
    top, left = max(row - reach, 0), max(column - reach, 0)
    around = labels[top : max(row + reach + 1, 0), left : max(column + reach + 1, 0)]
    rows, columns = np.nonzero(around)
    if len(rows) == 0:
        return 0
    distance = np.hypot(columns + left + 0.5 - x, rows + top + 0.5 - y)
    nearest = int(np.argmin(distance))
    return int(around[rows[nearest], columns[nearest]]) if distance[nearest] <= reach_px else 0
