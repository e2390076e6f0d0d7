from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import InputError
from nunext_training.data.labelled import LabelledImage
from nunext_training.data.painting import Discs
from nunext_training.data.windows import (
    GridWindows,
    RandomWindows,
    WindowSpec,
    _ImageCache,
)
from nunext_training.recipes.sections import WindowOptions

WINDOW_PX = 32
SPEC = WindowSpec(WINDOW_PX, mpp=0.5)
PLAIN = WindowOptions(scale_range=(1.0, 1.0), turn=False, stain_strength=0.0)
ALL = WindowOptions(
    scale_range=(0.7, 1.4), turn=True, stain_strength=0.3, scanner_strength=0.2, area_exponent=0.3
)


def darkness_centroid(rgb):
    """Centroid (x, y) of what is clearly darker than the background, corner origin."""
    darkness = np.median(rgb.reshape(-1, 3), axis=0) - rgb.astype(float)
    weight = np.clip(darkness.sum(axis=2) - 20, 0, None)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.fixture(scope="module")
def one_nucleus(tmp_path_factory, labelled_tile):
    # In the middle of a small tile, so that every window sees it whole.
    folder = tmp_path_factory.mktemp("one")
    return labelled_tile(folder, "one", [(24.3, 26.9)], width=48, height=52)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31))
def test_a_nucleus_is_where_its_point_says_after_every_augmentation(one_nucleus, seed):
    example = RandomWindows([one_nucleus], SPEC, ALL, length=1, seed=seed)[0]
    if len(example.points_xy) == 0:
        return  # the window lies beside it
    (point,) = example.points_xy
    margin = 6
    if (point < margin).any() or (point > WINDOW_PX - margin).any():
        return  # cut by the window's edge: its visible centroid is another
    seen = darkness_centroid(example.rgb)
    assert np.abs(seen - point).max() < 0.3
    codec = Codec(WINDOW_PX, WINDOW_PX, 0, WINDOW_PX, WINDOW_PX + 1)
    assert np.abs(codec.to_bins(seen[None]) - codec.to_bins(point[None])).max() <= 1


def test_nearly_every_augmented_window_of_a_small_tile_sees_its_nucleus(one_nucleus):
    windows = RandomWindows([one_nucleus], SPEC, ALL, length=50, seed=1)
    assert sum(len(windows[i].points_xy) for i in range(50)) > 40


def test_a_window_depends_on_seed_and_index_alone(tiles):
    first = RandomWindows(tiles, SPEC, ALL, length=20, seed=3)
    again = RandomWindows(tiles, SPEC, ALL, length=500, seed=3)
    for i in (7, 0, 19):  # in any order, out of any number
        np.testing.assert_array_equal(first[i].rgb, again[i].rgb)
        np.testing.assert_array_equal(first[i].points_xy, again[i].points_xy)
    other = RandomWindows(tiles, SPEC, ALL, length=20, seed=4)
    assert any(not np.array_equal(first[i].rgb, other[i].rgb) for i in range(5))


def test_only_nuclei_inside_the_window_are_taught_with_their_categories(tiles):
    spec = WindowSpec(WINDOW_PX, 0.5, ("Round", "Pale"))
    windows = RandomWindows([tiles[1]], spec, PLAIN, length=10, seed=0)
    for i in range(10):
        example = windows[i]
        box = example.crop.box
        expected = [
            (x - box.x0, y - box.y0, 0 if name == "Round" else 1)
            for (x, y), name in zip(tiles[1].points_xy, tiles[1].categories, strict=True)
            if box.x0 <= x < box.x1 and box.y0 <= y < box.y1
        ]
        got = np.column_stack([example.points_xy, example.category_indices or []])
        np.testing.assert_allclose(got, np.array(expected).reshape(-1, 3))


def test_a_windows_own_labels_are_those_of_the_nuclei_in_it(tiles):
    windows = RandomWindows(tiles, SPEC, PLAIN, length=20, seed=0, painter=Discs(3.0))
    reach_in = 0
    for example in windows:
        own, every = set(np.unique(example.own_labels)), set(np.unique(example.labels))
        assert own - {0} <= set(example.point_labels)
        for label, (x, y) in zip(example.point_labels, example.points_xy, strict=True):
            assert example.labels[int(y), int(x)] in (label, *(every - {0}))
        reach_in += bool(every - own)
    assert reach_in, "no nucleus beyond a window reached into it"


def test_a_tile_smaller_than_the_window_is_white_beyond(tmp_path, labelled_tile):
    tile = labelled_tile(tmp_path, "small", [(5.5, 6.5)], width=20, height=12)
    example = RandomWindows([tile], SPEC, PLAIN, length=1, seed=0)[0]
    assert (example.rgb[12:] == 255).all()
    assert (example.rgb[:, 20:] == 255).all()
    np.testing.assert_array_equal(example.points_xy, [[5.5, 6.5]])


@pytest.mark.parametrize(("exponent", "share"), [(1.0, 6 / 7), (0.5, 0.71), (0.0, 0.5)])
def test_tiles_are_drawn_by_their_area_to_the_exponent(tmp_path, labelled_tile, exponent, share):
    small = labelled_tile(tmp_path, "small", [], width=40, height=40)
    large = labelled_tile(tmp_path, "large", [], width=80, height=120)
    options = replace(PLAIN, area_exponent=exponent)
    windows = RandomWindows([small, large], SPEC, options, length=400, seed=0)
    drawn = np.mean([windows[i].image_name == "large" for i in range(400)])
    assert drawn == pytest.approx(share, abs=0.06)


def test_the_area_of_a_tile_is_that_of_its_tissue_not_of_its_pixels(tmp_path, labelled_tile):
    coarse = labelled_tile(tmp_path, "coarse", [(5.5, 6.5)], width=64, height=64)
    fine = replace(labelled_tile(tmp_path, "fine", [(5.5, 6.5)], width=64, height=64), mpp=0.25)
    options = replace(PLAIN, area_exponent=1.0)
    windows = RandomWindows([coarse, fine], SPEC, options, length=400, seed=1)
    share = np.mean([example.image_name == coarse.name for example in windows])
    assert share == pytest.approx(4 / 5, abs=0.05)


def test_windows_of_another_scale_are_resampled_to_the_models(tmp_path, labelled_tile):
    tile = labelled_tile(tmp_path, "fine", [(40.0, 40.0)], width=80, height=80)
    example = GridWindows([tile], WindowSpec(WINDOW_PX, mpp=1.25))[0]
    np.testing.assert_allclose(example.points_xy, [[16.0, 16.0]])
    assert np.abs(darkness_centroid(example.rgb) - 16.0).max() < 0.3


def test_the_grid_covers_every_nucleus(tiles):
    windows = GridWindows(tiles, SPEC)
    seen = {
        (example.image_name, round(x + example.crop.box.x0, 6), round(y + example.crop.box.y0, 6))
        for example in windows
        for x, y in example.points_xy.tolist()
    }
    assert len(seen) == sum(len(tile.points_xy) for tile in tiles)


def test_nothing_to_cut_is_said_plainly():
    with pytest.raises(InputError, match="no image to cut windows from"):
        RandomWindows([], SPEC, PLAIN, length=1, seed=0)


def test_an_index_beyond_the_last_ends_iteration(tiles):
    windows = RandomWindows(tiles, SPEC, PLAIN, length=3, seed=0)
    assert len(list(windows)) == 3


def test_decoded_images_are_kept_up_to_their_bytes(tiles, monkeypatch):
    """Three tiles of 64 px: as many as fit are not opened again, the longest unused goes first."""
    opened = []
    open_one = LabelledImage.open
    monkeypatch.setattr(
        LabelledImage, "open", lambda image: opened.append(image.name) or open_one(image)
    )
    for fits, expected in ((3, "abc"), (2, "abca"), (0, "abcbab")):
        opened.clear()
        cache = _ImageCache(fits * 64 * 64 * 3)
        for i in (0, 1, 2, 1, 0, 1):
            cache.open(tiles[i])
        assert "".join(opened) == expected
