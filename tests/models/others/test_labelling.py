from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_nunext.core.geometry import Box
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.models.packages.labelling import (
    LEAST_SIDE_PX,
    LabelDetector,
    Labeller,
    Labels,
    LabelSegmenter,
    LabelSettings,
    centroids,
)
from napari_nunext.models.segmenter import Prompt

SETTINGS = LabelSettings("Dark", "dark", mpp=0.5, window_px=128, package="dark 1.0")


class Dark:
    """Labels what is dark, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, rgb: np.ndarray) -> Labels:
        self.seen.append(rgb)
        labels, count = ndimage.label(rgb[..., 1] < 128)
        return Labels(labels.astype(np.int32), np.linspace(0.5, 0.9, count))


def models() -> tuple[Dark, LabelDetector, LabelSegmenter]:
    dark = Dark()
    labeller = Labeller(dark)
    detector = LabelDetector(labeller, SETTINGS.detector_info())
    return dark, detector, LabelSegmenter(labeller, SETTINGS.segmenter_info())


def click(x: float, y: float, *, positive: bool = True) -> Prompt:
    return Prompt(np.array([[x, y]]), (positive,))


def go_on() -> bool:
    return False


def test_a_pixel_is_found_at_its_centre() -> None:
    labels = np.zeros((4, 8), dtype=np.int32)
    labels[2, 5] = 3
    points_xy, used = centroids(labels)
    assert points_xy.tolist() == [[5.5, 2.5]]
    assert used.tolist() == [3]


def test_centroids_are_the_means_of_pixel_centres(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 5, (20, 30)).astype(np.int32)
    points_xy, used = centroids(labels)
    for label, point in zip(used, points_xy, strict=True):
        rows, columns = np.nonzero(labels == label)
        assert point == pytest.approx((np.mean(columns) + 0.5, np.mean(rows) + 0.5))
    assert used.tolist() == [1, 2, 3, 4]
    assert centroids(np.zeros((5, 5), np.int32))[0].shape == (0, 2)


def test_nuclei_are_found_with_the_confidence_of_their_label(discs_rgb: np.ndarray) -> None:
    _, detector, _ = models()
    blank = np.full_like(discs_rgb, 255)
    events = list(detector.detect([blank, discs_rgb], cancelled=go_on))
    nothing, end, found, last = events
    assert isinstance(nothing, WindowPoints)
    assert isinstance(found, WindowPoints)
    assert len(nothing.points_xy) == 0
    assert (end, last) == (WindowEnd(0, "end"), WindowEnd(1, "end"))
    expected = [(20.0, 24.0), (70.25, 31.5), (99.0, 88.75)]
    np.testing.assert_allclose(found.points_xy, expected, atol=0.3)
    assert found.confidence == pytest.approx((0.5, 0.7, 0.9))
    assert found.categories == ("Nucleus",) * 3


def test_the_white_margin_is_not_shown_and_narrow_windows_are_continued(
    discs_rgb: np.ndarray,
) -> None:
    dark, detector, _ = models()
    window = discs_rgb.copy()
    window[:, 40:] = 255
    window[50:] = 255
    events = list(detector.detect([window], cancelled=go_on))
    assert dark.seen[0].shape == (LEAST_SIDE_PX, LEAST_SIDE_PX, 3)
    assert not (dark.seen[0] == 255).all(axis=2).any()
    assert isinstance(events[0], WindowPoints)
    # The reflections beyond the margin are nobody's nuclei.
    np.testing.assert_allclose(events[0].points_xy, [(20.0, 24.0)], atol=0.3)


def test_a_cancelled_detector_stops(discs_rgb: np.ndarray) -> None:
    dark, detector, segmenter = models()
    assert list(detector.detect([discs_rgb], cancelled=lambda: True)) == []
    assert list(segmenter.segment(discs_rgb, [click(20, 24)], cancelled=lambda: True)) == []
    assert dark.seen == []


def test_masks_of_what_was_found_cost_no_second_run(discs_rgb: np.ndarray) -> None:
    dark, detector, segmenter = models()
    list(detector.detect([discs_rgb], cancelled=go_on))
    masks = list(segmenter.segment(discs_rgb, [click(20, 24), click(99, 88)]))
    assert len(dark.seen) == 1
    assert masks[0].mask.centroid_xy == pytest.approx((20.0, 24.0), abs=0.3)
    assert masks[0].mask.area_px == int((np.hypot(*disc_grid(20, 24)) < 7).sum())
    assert (masks[0].score, masks[1].score) == pytest.approx((0.5, 0.9))


def disc_grid(x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:128, :128] + 0.5
    return columns - x, rows - y


@pytest.mark.parametrize(
    ("prompt", "centre"),
    [
        (click(20 + 7 + 2, 24), (20, 24)),  # 1 um beside the disc
        (click(20 + 7 + 4.5, 24), None),  # 2.25 um beside it
        (click(-40, -40), None),
        (Prompt(np.empty((0, 2)), (), Box(60, 20, 110, 40)), (70.25, 31.5)),
        (Prompt(np.array([[20.0, 24.0], [99.0, 88.0], [98.0, 88.0]]), (True,) * 3), (99, 88.75)),
        (Prompt(np.array([[20.0, 24.0], [21.0, 24.0]]), (True, False)), None),
        (Prompt(np.array([[1.0, 1.0]]), (False,), Box(10, 10, 40, 40)), (20, 24)),
    ],
)
def test_a_prompt_means_what_it_points_at(
    discs_rgb: np.ndarray, prompt: Prompt, centre: tuple[float, float] | None
) -> None:
    _, _, segmenter = models()
    (answer,) = segmenter.segment(discs_rgb, [prompt])
    if centre is None:
        assert (answer.mask.area_px, answer.score) == (0, 0.0)
    else:
        assert answer.mask.centroid_xy == pytest.approx(centre, abs=0.3)
