"""What callers have as an image is what the window would show of it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nunext.api import images
from napari_nunext.api.images import LazyArray, source_of
from napari_nunext.core.errors import CalibrationError, ImageError, InputError
from napari_nunext.core.geometry import Box
from napari_nunext.images import open_tile


class Cut:
    """An array as dask and zarr are: it has a shape and is cut; nothing else works."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.most_px = 0

    def __getitem__(self, key):
        part = self._array[key]
        self.most_px = max(self.most_px, part.shape[0] * part.shape[1])
        return part


def shown(array):
    source = source_of(array, 0.5)
    return source.read_region(source.box)


@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: rgb,
        lambda rgb: rgb / 255,
        lambda rgb: (rgb / 255).astype(np.float32),
        lambda rgb: rgb.astype(np.uint16) * 257,
        lambda rgb: rgb[..., :1],
        lambda rgb: rgb[..., 0],
        lambda rgb: rgb[..., 0] > 128,
        lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)]),
        lambda rgb: np.dstack([rgb[..., 0], np.full(rgb.shape[:2], 128, np.uint8)]),
        lambda rgb: rgb.astype(np.int64),
    ],
)
def test_an_array_is_shown_as_the_same_pixels_are_from_a_file(rgb, tmp_path, change):
    array = change(rgb)
    path = tmp_path / "a.tif"
    extra = {1: (), 2: ("unassalpha",), 3: (), 4: ("unassalpha",)}[
        1 if array.ndim == 2 else array.shape[2]
    ]
    stored = array[..., 0] if array.shape[2:] == (1,) else array
    kind = "rgb" if array.ndim == 3 and array.shape[2] >= 3 else "minisblack"
    samples = stored.astype(np.uint8) * 255 if stored.dtype == bool else stored
    tifffile.imwrite(
        path,
        samples.astype(np.int32) if samples.dtype == np.int64 else samples,
        photometric=kind,
        extrasamples=extra or None,
        planarconfig="contig",
    )
    assert np.array_equal(shown(array), open_tile(path).rgb)


def test_paths_pictures_and_opened_images_are_taken_as_they_are(rgb, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path, dpi=(50_800, 50_800))
    by_path = source_of(path)
    assert by_path.scale.mpp == pytest.approx(0.5)
    assert source_of(str(path), 0.3).scale.mpp == 0.3
    assert source_of(by_path) is by_path
    assert np.array_equal(shown(Image.fromarray(rgb)), rgb)


def test_what_an_array_becomes_is_not_changed_with_it(rgb):
    array = rgb.copy()
    source = source_of(array, 0.5)
    before = source.read_region(source.box).copy()
    array[:] = 0
    assert np.array_equal(source.read_region(source.box), before)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 40, 50), r"numpy\.moveaxis"),
        ((40, 50, 7), "choose the channel"),
        ((2, 3, 40, 50), "Choose one plane"),
        ((40,), "expected"),
        ((0, 50, 3), "no pixels"),
    ],
)
def test_what_is_no_picture_is_said_with_what_to_do(shape, words):
    with pytest.raises(InputError, match=words):
        source_of(np.zeros(shape, np.uint8), 0.5)


def test_numbers_that_cannot_be_shown_are_said(rgb):
    broken = rgb / 255
    broken[3, 3] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        shown(broken)
    with pytest.raises(ImageError, match="complex"):
        shown(rgb.astype(complex))


def test_a_scale_has_to_be_said_and_possible(rgb):
    with pytest.raises(CalibrationError, match="Give mpp"):
        source_of(rgb)
    with pytest.raises(CalibrationError):
        source_of(rgb, 0.0)


def test_a_large_array_is_read_where_it_is_needed(rng, monkeypatch):
    pixels = rng.integers(0, 256, (600, 500, 3), dtype=np.uint8)
    whole = source_of(pixels, 0.5)
    monkeypatch.setattr(images, "MAX_PIXELS", 200 * 200)
    monkeypatch.setattr(images, "_ROWS_AT_ONCE", 50)
    array = Cut(pixels)
    lazy = source_of(array, 0.5)
    assert isinstance(lazy, LazyArray)
    assert lazy.scale.mpp == 0.5
    for box, out_px in [
        (Box(10, 20, 74, 84), 64),
        (Box(-20.5, -7, 43.5, 57), 64),
        (Box(470, 580, 534, 644), 64),
        (Box(100.25, 200.5, 196.25, 296.5), 64),
        (Box(700, 700, 764, 764), 64),
    ]:
        assert np.array_equal(lazy.read_window(box, out_px), whole.read_window(box, out_px))
    part = Box(3.5, 4.2, 20, 33)
    assert np.array_equal(lazy.read_region(part), whole.read_region(part))
    assert array.most_px < 200 * 200
    assert lazy.id == whole.id
    with pytest.raises(InputError, match="no pixels"):
        lazy.read_region(Box(900, 900, 950, 950))
    for other in (Cut(pixels[..., 0]), Cut(pixels.astype(np.uint16))):
        with pytest.raises(InputError, match="expected 8-bit RGB"):
            source_of(other, 0.5)


def test_arrays_of_zarr_are_searched(rgb, tmp_path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(
        tmp_path / "a.zarr", shape=rgb.shape, chunks=(32, 32, 3), dtype=np.uint8
    )
    stored[:] = rgb
    assert np.array_equal(shown(stored), rgb)
