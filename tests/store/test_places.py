"""What is found and counted by cells is what a look at every place finds."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.store.state import places as module
from napari_nunext.store.state.places import Places

CODES = 3


def boxes(rng: np.random.Generator, side_px: float) -> list[Box]:
    """Any: within, over the edges, beside, empty, and with edges on whole pixels."""
    made = [Box(-9, -9, 2 * side_px, 2 * side_px), Box(-9, -9, -2, -2), Box(5, 5, 5, 5)]
    for _ in range(60):
        corners = rng.uniform(-0.2 * side_px, 1.2 * side_px, (2, 2))
        if rng.random() < 0.5:
            corners = corners.round()
        (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        made.append(Box(x0, y0, x1, y1))
    return made


def assert_found(places: Places, points_xy: np.ndarray, category: np.ndarray, box: Box) -> None:
    inside = box.contains(points_xy)
    np.testing.assert_array_equal(places.rows_within(box), np.flatnonzero(inside))
    wanted = np.bincount(category[inside], minlength=CODES)
    np.testing.assert_array_equal(places.counts_within(box), wanted)


@pytest.mark.parametrize("count", [0, 1, 7, 3000])
@pytest.mark.parametrize("shape_px", [(100.0, 100.0), (1.0, 3000.0), (0.0, 0.0)])
def test_any_box_holds_what_lies_in_it(
    rng: np.random.Generator, count: int, shape_px: tuple[float, float]
) -> None:
    points_xy = rng.uniform(0, 1, (count, 2)) * shape_px
    points_xy[::2] = points_xy[::2].round()  # on the edges of boxes
    category = rng.integers(0, CODES, count).astype(np.uint16)
    places = Places(points_xy, category, CODES)
    for box in boxes(rng, max(shape_px)):
        assert_found(places, points_xy, category, box)


def test_places_that_come_later_are_found_too(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TAIL", 200)
    points_xy = rng.uniform(0, 100, (1000, 2))
    category = np.sort(rng.integers(0, CODES, 1000)).astype(np.uint16)  # new ones come late
    known = 300
    places = Places(points_xy[:known], category[:known], 1 + int(category[known - 1]))
    while known < len(points_xy):
        known += 60
        codes = 1 + int(category[:known].max())
        places = places.grown(points_xy[:known], category[:known], codes)
        for box in boxes(rng, 100.0)[:12]:
            inside = box.contains(points_xy[:known])
            np.testing.assert_array_equal(places.rows_within(box), np.flatnonzero(inside))
            wanted = np.bincount(category[:known][inside], minlength=codes)
            np.testing.assert_array_equal(places.counts_within(box), wanted)
