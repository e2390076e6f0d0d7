from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.data import immunohistochemistry

from napari_nunext.core.geometry import Box
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.seams import SeamMerger
from napari_nunext.core.tiling import plan_windows
from napari_nunext.images import read_window
from napari_nunext.models.classical.adapters import (
    MPP,
    ClassicalDetector,
    ClassicalSegmenter,
    without_padding,
)
from napari_nunext.models.classical.points import ClassicalParams, detect_nuclei
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter


@pytest.fixture(scope="module")
def ihc() -> np.ndarray:
    return immunohistochemistry()


def test_each_window_sends_its_points_and_its_end(ihc: np.ndarray) -> None:
    detector: Detector = ClassicalDetector()
    events = list(detector.detect([ihc, ihc[:, ::-1]], cancelled=lambda: False))
    assert [type(event) for event in events] == [WindowPoints, WindowEnd] * 2
    assert [event.window for event in events] == [0, 0, 1, 1]
    points = events[0]
    assert isinstance(points, WindowPoints)
    assert len(points.points_xy) == len(points.confidence) == len(points.categories) > 150


def test_a_cancelled_run_says_nothing_more(ihc: np.ndarray) -> None:
    asked = iter([False, True])
    events = list(ClassicalDetector().detect([ihc, ihc], cancelled=lambda: next(asked)))
    assert {event.window for event in events} == {0}


def test_a_run_can_be_described_from_its_info() -> None:
    info = ClassicalDetector().info
    assert info.decoding["threshold"] == ClassicalParams().threshold
    assert info.halo_um > ClassicalParams().reach_um
    assert 2 * info.halo_um < info.window_px * info.mpp
    assert [category.name for category in info.categories] == ["Nucleus"]
    assert info.metrics
    assert ClassicalDetector(ClassicalParams(threshold=0.1)).info.metrics == ()


def test_padding_beyond_the_edge_does_not_change_what_is_found(ihc: np.ndarray) -> None:
    tile = ihc[:300, :400]
    padded = read_window(tile, Box(0, 0, 512, 512), 512)
    np.testing.assert_array_equal(without_padding(padded), tile)
    points, _ = ClassicalDetector().detect([padded], cancelled=lambda: False)
    assert isinstance(points, WindowPoints)
    np.testing.assert_allclose(points.points_xy, detect_nuclei(tile, mpp=MPP)[0])


def test_a_white_window_is_left_alone() -> None:
    white = np.full((8, 8, 3), 255, np.uint8)
    assert without_padding(white) is white


def test_windows_with_seams_find_what_the_whole_image_has(ihc: np.ndarray) -> None:
    tissue = np.pad(ihc, ((0, 388), (0, 388), (0, 0)), mode="reflect")
    region = Box(0, 0, 900, 900)
    detector = ClassicalDetector()
    info = detector.info
    windows = plan_windows(
        region,
        region,
        window_px=info.window_px,
        window_mpp=info.mpp,
        halo_um=info.halo_um,
        image_mpp=MPP,
    )
    assert len(windows) == 4
    merger = SeamMerger(2.0 / MPP)
    placed = []
    pixels = [read_window(tissue, window.box, window.side_px) for window in windows]
    for event in detector.detect(pixels, cancelled=lambda: False):
        if isinstance(event, WindowEnd):
            continue
        window = windows[event.window]
        points_xy = window.to_level0(event.points_xy)
        mine = window.speaks_for(1.0 / MPP).contains(points_xy)
        merger.add(window.index, points_xy[mine], np.array(event.confidence)[mine].tolist())
        placed.append(points_xy[mine])
    merger.settle()
    merged = np.concatenate(placed)[list(merger.visible())]
    whole, _ = detect_nuclei(tissue, mpp=MPP)
    matching = match_points(merged, whole, radius_px=1.0)
    # The stain is pale, so each window sets its own gain: a few faint ones come and go.
    assert matching.tp >= 0.95 * len(whole)
    assert matching.fp <= 0.05 * len(whole)


def test_the_segmenter_answers_in_order_and_stops_when_cancelled(ihc: np.ndarray) -> None:
    segmenter: Segmenter = ClassicalSegmenter()
    points_xy, _ = detect_nuclei(ihc, mpp=MPP)
    prompts = [Prompt(point[None], (True,)) for point in points_xy]
    masks = list(segmenter.segment(ihc, prompts))
    assert len(masks) == len(prompts)
    holds = [
        Box(m.x0_px, m.y0_px, m.x0_px + m.width_px, m.y0_px + m.height_px).contains(p[None])[0]
        for m, p in zip((mask.mask for mask in masks), points_xy, strict=True)
    ]
    assert np.mean(holds) > 0.95
    asked = iter([False, False, True])
    stopped = list(segmenter.segment(ihc, prompts, cancelled=lambda: next(asked)))
    assert stopped == masks[:2]
