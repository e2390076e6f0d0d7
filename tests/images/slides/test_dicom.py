from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import DamagedRegionError, ImageError
from napari_nunext.core.geometry import Box
from napari_nunext.images import Tile, find_images, open_image, open_tile
from tests.images.slides.layouts import write_dicom_series
from tests.images.slides.marked import assert_overlay, drawing, jpeg_of, swapped_profile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawing()


@pytest.mark.parametrize("mpp", [0.25, 0.499])
def test_marks_lie_where_they_are(tmp_path: Path, rgb: np.ndarray, mpp: float) -> None:
    image = open_image(write_dicom_series(tmp_path / "a é b", rgb, mpp))
    assert_overlay(image, levels=2, mpp=mpp)


def test_a_series_is_one_image_and_neither_label_nor_overview(
    tmp_path: Path, rgb: np.ndarray
) -> None:
    volume = write_dicom_series(tmp_path / "a", rgb, 0.25)
    assert find_images([tmp_path / "a"]) == [volume]
    image = open_image(volume)
    label = open_image(next(path for path in (tmp_path / "a").iterdir() if path != volume))
    assert label.box == image.box  # whichever file is named, the slide is opened
    assert label.id == image.id
    pixels = image.read_region(image.box, 1)
    assert pixels[..., 1].min() > 50  # the label is pure magenta
    assert "Known" not in repr(image)


def test_what_needs_all_pixels_at_once_has_them(tmp_path: Path, rgb: np.ndarray) -> None:
    volume = write_dicom_series(tmp_path / "a", rgb, 0.25)
    tile, slide = open_tile(volume, mpp=0.5), open_image(volume)
    assert isinstance(tile, Tile)
    assert (tile.mpp, tile.mpp_source) == (0.5, "user")
    np.testing.assert_array_equal(tile.rgb, slide.read_region(slide.box))


def test_a_file_that_was_cut_off_is_an_error_of_the_file(tmp_path: Path, rgb: np.ndarray) -> None:
    volume = write_dicom_series(tmp_path / "a", rgb, 0.25, factors=(1,), more=())
    with volume.open("r+b") as file:
        file.truncate(1500)
    with pytest.raises(ImageError, match=r"9\.dcm"):
        open_image(volume)
    assert find_images([tmp_path / "a"]) == [volume]  # to be opened, and to say what it lacks


def test_a_damaged_tile_spoils_its_own_region_alone(tmp_path: Path, rgb: np.ndarray) -> None:
    """A handle of OpenSlide that failed once fails for ever: others are opened."""
    volume = write_dicom_series(tmp_path / "a", rgb, 0.25, more=())
    data = bytearray(volume.read_bytes())
    first = data.index(b"\xff\xd8\xff")
    data[first + 20 : first + 400] = b"\x00" * 380
    volume.write_bytes(data)
    image = open_image(volume)
    for _ in range(2):
        with pytest.raises(
            DamagedRegionError, match=r"9\.dcm is damaged at x 0 to 512, y 0 to 512"
        ):
            image.read_region(Box(10, 10, 20, 20))
        assert image.read_region(Box(512, 0, 1500, 1000)).shape == (1000, 988, 3)
        assert image.read_region(image.box, 1).shape == (296, 382, 3)


def test_colours_are_those_that_the_scanner_means(tmp_path: Path, rgb: np.ndarray) -> None:
    plain = open_image(write_dicom_series(tmp_path / "a", rgb, 0.25, factors=(1,)))
    profile = swapped_profile()
    meant = open_image(write_dicom_series(tmp_path / "b", rgb, 0.25, factors=(1,), profile=profile))
    assert plain.notes == ()
    assert meant.notes == ("colours turned into sRGB by the scanner's profile",)
    box = Box(0, 0, 200, 200)
    swapped = plain.read_region(box)[..., ::-1].astype(int)
    assert np.abs(swapped - meant.read_region(box)).max() <= 2


@pytest.mark.parametrize("name", ["a.dcm", "a.mrxs", "a.vms"])
def test_without_the_extra_a_slide_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    head = b"[Virtual Microscope Specimen]" if name == "a.vms" else bytes(128) + b"DICM"
    (tmp_path / name).write_bytes(head)
    with pytest.raises(
        ImageError, match=rf"{name}, openslide .* pip install 'napari-nunext.slides"
    ):
        open_image(tmp_path / name)


def test_a_mrxs_without_its_folder_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a b.mrxs").write_bytes(jpeg_of(np.zeros((16, 16, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"The folder a b beside a b\.mrxs.* Copy both"):
        open_image(tmp_path / "a b.mrxs")
