from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from nunext_training.data.crops import Crop
from nunext_training.data.painting import Discs, check_masks, paint_masks

TURNS = [(False, 0), (True, 0), (False, 1), (True, 3), (False, 2)]


@pytest.fixture
def image(tmp_path, labelled_tile):
    """A tile with three nuclei and their masks, discs of 4 px."""
    points = np.array([(10.0, 12.0), (30.5, 20.0), (33.0, 40.0)])
    tile = labelled_tile(tmp_path, "t", points)
    y, x = np.mgrid[:64, :64] + 0.5
    masks = tuple(Mask.from_array((x - px) ** 2 + (y - py) ** 2 <= 16) for px, py in points)
    return replace(tile, masks=masks)


@pytest.mark.parametrize(("mirrored", "turns"), TURNS)
@pytest.mark.parametrize("scale", [1.0, 1.25])
def test_masks_stay_on_their_points_however_a_window_is_cut(image, mirrored, turns, scale):
    box = Box(4, 2, 4 + 32 * scale, 2 + 32 * scale)
    crop = Crop(box, 32, mirrored, turns)
    labels = paint_masks(image, crop)
    assert labels.shape == (32, 32)
    for label, (x, y) in enumerate(crop.to_window(image.points_xy), start=1):
        if not (0 <= x < 32 and 0 <= y < 32):
            continue
        rows, columns = np.nonzero(labels == label)
        whole = 5 < x < 27 and 5 < y < 27
        assert labels[int(y), int(x)] == label
        if whole:
            assert np.hypot(columns.mean() + 0.5 - x, rows.mean() + 0.5 - y) < 0.3
            assert len(rows) == pytest.approx(image.masks[label - 1].area_px / scale**2, rel=0.15)


def test_at_its_own_scale_a_mask_is_painted_pixel_by_pixel(image):
    labels = paint_masks(image, Crop(Box(0, 0, 64, 64), 64))
    for label, mask in enumerate(image.masks, start=1):
        assert Mask.from_array(labels == label) == mask


def test_a_window_that_hangs_over_the_edge_is_background_there(image):
    labels = paint_masks(image, Crop(Box(-16, -16, 48, 48), 64))
    assert not labels[:16].any()
    assert labels[16 + 12, 16 + 10] == 1


@pytest.mark.parametrize(("mirrored", "turns"), TURNS)
def test_discs_agree_with_brute_force(image, mirrored, turns):
    crop = Crop(Box(5, 5, 45, 45), 32, mirrored, turns)
    labels = Discs(radius_um=2.0)(image, crop)
    radius = 2.0 / 0.5 * 32 / 40
    expected = np.zeros((32, 32), dtype=int)
    for label, (x, y) in enumerate(crop.to_window(image.points_xy), start=1):
        for row in range(32):
            for column in range(32):
                if (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius**2:
                    expected[row, column] = label
    np.testing.assert_array_equal(labels, expected)


def test_a_nucleus_outside_reaches_into_the_window(image):
    assert Discs(2.0)(image, Crop(Box(12, 8, 20, 16), 8)).any()


def test_missing_masks_are_named(image):
    bare = replace(image, masks=(), name="bare")
    check_masks([image])
    with pytest.raises(RecordError, match=r"1 of 2 images have nuclei without a mask.*bare"):
        check_masks([image, bare])
    with pytest.raises(RecordError, match="bare"):
        paint_masks(bare, Crop(Box(0, 0, 64, 64), 64))
