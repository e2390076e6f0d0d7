"""A slide that napari opens by our reader: levels, scale and units, read where it is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_nunext.core.errors import ImageError
from napari_nunext.images import open_image
from napari_nunext.images.slides import slide as slide_module
from napari_nunext.images.slides import tiff as tiff_module
from napari_nunext.ui.canvas.image import pyramid as pyramid_module
from napari_nunext.ui.canvas.image.pyramid import LevelPixels, Pyramid, ShrunkPixels, slide_layer
from napari_nunext.ui.reading import read_slides, slide_reader
from tests.images.slides.marked import drawing, shrunk
from tests.images.slides.test_tiff_slides import spoil, write_svs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawing()


@pytest.fixture
def path(tmp_path: Path, rgb: np.ndarray) -> Path:
    return write_svs(tmp_path / "slide.svs", rgb, 0.25)


def test_it_is_told_by_its_suffix(path: Path) -> None:
    assert slide_reader(str(path)) is read_slides
    assert slide_reader([str(path), "b.NDPI"]) is read_slides
    assert slide_reader("a.tif") is None


@pytest.mark.usefixtures("qapp")
def test_napari_shows_all_levels_at_their_scale(path: Path) -> None:
    (made,) = read_slides(str(path))
    layer = Layer.create(*made)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(1187, 1531, 3), (296, 382, 3), (74, 95, 3)]
    assert tuple(layer.scale) == (0.25, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    np.testing.assert_allclose(layer.extent.world[1], [1186.5 * 0.25, 1530.5 * 0.25], atol=0.2)


def test_a_level_is_read_where_it_is_asked(path: Path) -> None:
    slide = open_image(path)
    for number in range(3):
        level = LevelPixels(slide, number)
        whole = slide.read_region(slide.box, number)
        assert whole.shape == level.shape
        np.testing.assert_array_equal(level[10:60, 20:90], whole[10:60, 20:90])
        np.testing.assert_array_equal(level[:, -30:], whole[:, -30:])
        np.testing.assert_array_equal(level[5:70:2, 3:50:3, 0], whole[5:70:2, 3:50:3, 0])
        assert level[10:10, 20:90].shape == (0, 70, 3)
    np.testing.assert_array_equal(np.asarray(level), whole)


def test_what_is_damaged_is_white_and_the_rest_is_there(
    path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(path, 0, 8)
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)
    shown = LevelPixels(open_image(path), 0)[:, :]
    assert (shown[320:450, 580:700] == 255).all()
    far = np.ones(shown.shape[:2], bool)
    far[256 - 64 : 512 + 64, 512 - 64 : 768 + 64] = False
    assert np.abs(shown[far].astype(int) - rgb[far]).max() < 60  # JPEG
    assert np.abs(shown[far].astype(int) - rgb[far]).mean() < 2


def test_levels_that_a_slide_lacks_are_made_of_those_it_has(
    path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid_module, "MOST_OVERVIEW_PX", 500)
    made = Pyramid.of(open_image(path))
    assert (made.factors, made.own) == ((1.0, 4.0, 16.0, 64.0), 3)
    level = made.levels[3]
    assert level.shape == (19, 24, 3)
    wanted = shrunk(rgb[: 18 * 64, : 23 * 64], 64).astype(int)
    assert np.abs(level[:18, :23] - wanted).mean() < 6
    np.testing.assert_array_equal(level[3:9, 5:7], level[:, :][3:9, 5:7])


def test_damage_in_a_level_that_is_made_is_white_and_the_rest_is_there(
    path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(path, 0, 8)
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)
    whole = ShrunkPixels(open_image(path), 2.0)[:, :]
    assert (whole[160:220, 300:340] == 255).all()
    far = np.abs(whole[300:550, 100:700].astype(int) - shrunk(rgb, 2)[300:550, 100:700]).mean()
    assert far < 4


def test_an_image_without_a_coarse_level_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_module, "MOST_OVERVIEW_PX", 1000)
    with pytest.raises(ImageError, match=r"slide\.svs has no level below 95 x 74 px"):
        slide_layer(open_image(path))


def test_an_image_of_one_level_is_there_whole(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_svs(tmp_path / "small.svs", shrunk(rgb, 2), 0.5, factors=())
    ((data, keywords, kind),) = read_slides([str(path)])
    assert (kind, keywords["name"], keywords["scale"]) == ("image", "small.svs", (0.5, 0.5))
    assert data.shape == (593, 765, 3)
