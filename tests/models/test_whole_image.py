from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images import read_window
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.whole_image.search import detect_image


class Canvas:
    """An image in memory."""

    def __init__(self, rgb):
        self.rgb = rgb
        self.box = Box.of_image(*rgb.shape[1::-1])

    def read_window(self, box, out_px):
        return read_window(self.rgb, box, out_px)


def dotted(points, width, height):
    """Black on white, with a red pixel block of 2 x 2 centred at each whole-numbered point."""
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    for x, y in points:
        rgb[y - 1 : y + 1, x - 1 : x + 1, 0] = 200
    return Canvas(rgb)


class RedDots:
    """Finds every red blob in its window, even one cut by the edge."""

    def __init__(self, window_px=32, mpp=0.5, halo_um=3.0):
        self.info = DetectorInfo(
            "dots", "test", default_categories(["Red", "Other"]), mpp, window_px, halo_um
        )
        self.windows = 0

    def detect(self, windows, *, cancelled):
        from scipy import ndimage

        for i, window in enumerate(windows):
            if cancelled():
                return
            self.windows += 1
            # White beyond the image is no red.
            red = np.clip(window[..., 0].astype(float) - window[..., 1], 0, None)
            labels, n = ndimage.label(red > 40)
            for rc in ndimage.center_of_mass(red, labels, range(1, n + 1)):
                points = np.array([[rc[1] + 0.5, rc[0] + 0.5]])
                yield WindowPoints(i, points, ("Red",), (0.8,))
            yield WindowEnd(i, "end")


def sorted_points(points):
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    return points[np.lexsort((points[:, 0], points[:, 1]))]


grid_points = st.lists(
    st.tuples(st.integers(1, 11), st.integers(1, 8)), max_size=25, unique=True
).map(lambda cells: [(c * 8 - 3, r * 8 - 2) for c, r in cells])


@settings(max_examples=30)
@given(points=grid_points, width=st.integers(95, 130), height=st.integers(70, 100))
def test_every_nucleus_is_found_once_wherever_the_seams_are(points, width, height):
    found = detect_image(dotted(points, width, height), RedDots(), mpp=0.5)
    np.testing.assert_allclose(sorted_points(found.points_xy), sorted_points(points), atol=0.3)
    assert found.categories == ("Red",) * len(points)
    assert found.confidence.shape == (len(points),)


@pytest.mark.parametrize("mpp", [0.25, 0.37, 0.5])
def test_another_scale_maps_back_to_level_0(mpp):
    points = [(12, 12), (60, 30), (83, 66), (40, 70)]
    detector = RedDots(halo_um=2.0)
    found = detect_image(dotted(points, 100, 80), detector, mpp=mpp)
    np.testing.assert_allclose(sorted_points(found.points_xy), sorted_points(points), atol=0.5)


def test_what_stands_at_a_seam_says_how_far_off_it_may_be_itself():
    """Each window says another error; that of the surer sighting stands with it."""
    said_um = {}

    class Vague(RedDots):
        def detect(self, windows, *, cancelled):
            rng = np.random.default_rng(3)
            for event in super().detect(windows, cancelled=cancelled):
                if isinstance(event, WindowPoints):
                    sure, um = float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.2, 2))
                    said_um[sure] = um
                    event = replace(event, confidence=(sure,), position_error_um=(um,))
                yield event

    points = [(c * 8 - 3, r * 8 - 2) for c in range(1, 12) for r in range(1, 9)]
    image = dotted(points, 100, 80)
    found = detect_image(image, Vague(halo_um=6.0), mpp=0.5)
    assert len(found) == len(points) < len(said_um)  # some were seen twice
    expected = [said_um[sure] for sure in found.confidence.tolist()]
    assert found.position_error_um.tolist() == expected
    assert np.isnan(detect_image(image, RedDots(), mpp=0.5).position_error_um).all()
    part = detect_image(image, Vague(), mpp=0.5, only=("Red",))
    assert part.position_error_um.tolist() == [said_um[s] for s in part.confidence.tolist()]


def test_a_region_gives_its_own_nuclei_only():
    points = [(13, 14), (45, 46), (85, 62)]
    found = detect_image(dotted(points, 100, 80), RedDots(), mpp=0.5, region=Box(30, 30, 70, 70))
    np.testing.assert_allclose(found.points_xy, [[45, 46]], atol=0.3)


def test_an_empty_region_and_an_empty_image_give_nothing():
    image = dotted([], 40, 40)
    assert len(detect_image(image, RedDots(), mpp=0.5)) == 0
    outside = detect_image(image, RedDots(), mpp=0.5, region=Box(90, 90, 99, 99))
    assert outside.points_xy.shape == (0, 2)


def test_cancelling_stops_between_windows():
    detector = RedDots()
    asked = iter([False, False, True] + [True] * 100)
    detect_image(dotted([], 200, 200), detector, mpp=0.5, cancelled=lambda: next(asked))
    assert detector.windows == 2


def test_an_image_without_a_scale_is_refused():
    with pytest.raises(CalibrationError, match="scale"):
        detect_image(dotted([], 40, 40), RedDots(), mpp=float("nan"))
