from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Points

from napari_nunext.core.geometry import Box
from napari_nunext.ui.canvas.layers import (
    box_from_napari,
    box_to_napari,
    from_napari,
    placement,
    to_napari,
    world_of,
)

finite = st.floats(-1e5, 1e5, allow_nan=False)


def test_the_centre_of_the_first_pixel_is_napari_zero() -> None:
    assert to_napari(np.array([[0.5, 0.5], [7.5, 2.5]])).tolist() == [[0, 0], [2, 7]]


@given(st.lists(st.tuples(finite, finite), max_size=20))
def test_points_come_back_as_they_were(points: list[tuple[float, float]]) -> None:
    points_xy = np.array(points, dtype=float).reshape(-1, 2)
    np.testing.assert_allclose(from_napari(to_napari(points_xy)), points_xy, atol=1e-9)


def test_boxes_come_back_as_they_were() -> None:
    box = Box(3.0, 4.5, 10.0, 20.25)
    assert box_from_napari(box_to_napari(box)) == box


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.7312])
def test_known_nuclei_lie_on_their_pixels_at_every_scale(mpp: float) -> None:
    """Bright pixels in an image, nuclei at their centres: napari puts both in one place."""
    pixels_rc = [(3, 5), (10, 2), (0, 0), (19, 29)]
    rgb = np.zeros((20, 30, 3), np.uint8)
    for r, c in pixels_rc:
        rgb[r, c] = 255
    centres_xy = np.array([(c + 0.5, r + 0.5) for r, c in pixels_rc])
    viewer = ViewerModel()
    image = viewer.add_layer(Image(rgb, rgb=True, **placement(mpp)))
    points = viewer.add_layer(Points(to_napari(centres_xy), **placement(mpp)))
    for (r, c), place_rc, (x, y) in zip(pixels_rc, points.data, centres_xy, strict=True):
        world = points.data_to_world(place_rc)
        np.testing.assert_allclose(image.world_to_data(world), (r, c), atol=1e-9)
        np.testing.assert_allclose(world_of(x, y, mpp), world)
        for step in (-0.49, 0.0, 0.49):  # all of the pixel, and nothing beyond it
            near = points.data_to_world(place_rc + step)
            assert image.get_value(near, world=True).tolist() == [255, 255, 255]
        beyond = image.get_value(points.data_to_world(place_rc + np.array([0, -0.51])), world=True)
        assert beyond is None or beyond.tolist() == [0, 0, 0]
