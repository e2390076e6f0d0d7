from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from napari_nunext.core.errors import DamagedRegionError, ImageError
from napari_nunext.core.geometry import Box
from napari_nunext.images import ImageFinder, find_images, image_stem, open_image
from napari_nunext.images.identified import look_for
from napari_nunext.images.slides.ome_zarr import holds_labels_alone
from napari_nunext.review.fields import entry_of
from tests.images.slides.layouts import write_ome_zarr
from tests.images.slides.marked import assert_overlay, drawing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawing()


@pytest.mark.parametrize("mpp", [0.25, 0.499])
@pytest.mark.parametrize(
    ("version", "axes", "shards"),
    [("0.4", "cyx", False), ("0.5", "cyx", False), ("0.5", "yxc", True), ("0.4", "tczyx", False)],
)
def test_marks_lie_where_they_are(
    tmp_path: Path, rgb: np.ndarray, version: str, axes: str, shards: bool, mpp: float
) -> None:
    path = tmp_path / "a é b.zarr"
    write_ome_zarr(path, rgb, mpp, version=version, axes=axes, shards=shards)
    image = open_image(path)
    assert_overlay(image, levels=3, mpp=mpp)
    assert image.levels == (1.0, 2.0, 4.0)
    np.testing.assert_array_equal(image.read_region(image.box), rgb)


@pytest.mark.parametrize(
    ("mpp", "unit", "expected"),
    [(0.00025, "millimeter", 0.25), (250.0, "nanometer", 0.25), (0.25, "", None), (None, "", None)],
)
def test_the_scale_counts_in_its_unit(
    tmp_path: Path, rgb: np.ndarray, mpp: float | None, unit: str, expected: float | None
) -> None:
    image = open_image(
        write_ome_zarr(tmp_path / "a.zarr", rgb[:300, :300], mpp, unit=unit, factors=(1, 2))
    )
    assert image.scale.mpp == (None if expected is None else pytest.approx(expected))


def test_grey_is_shown_as_rgb(tmp_path: Path, rgb: np.ndarray) -> None:
    image = open_image(write_ome_zarr(tmp_path / "a.zarr", rgb[:300, :300, :1], 0.25, axes="yxc"))
    np.testing.assert_array_equal(image.read_region(image.box)[..., 2], rgb[:300, :300, 0])
    assert image.notes == ("greyscale, shown as RGB 8-bit",)


def omero(*channels: tuple[str, str]) -> dict[str, object]:
    return {"omero": {"channels": [{"label": label, "color": color} for label, color in channels]}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            omero(("DAPI", "0000FF"), ("b", "00FF00"), ("c", "FF0000")),
            r"fluorescence \(channel DAPI",
        ),
        (omero(("1", "00FFFF"), ("2", "FF00FF"), ("3", "FFFF00")), "colours of their own"),
        ({"image-label": {}}, "holds labels"),
        ({"plate": {}}, "plate of many images"),
    ],
)
def test_what_is_no_stained_section_is_refused_in_words(
    tmp_path: Path, rgb: np.ndarray, more: dict[str, object], words: str
) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", rgb[:64, :64], 0.25, factors=(1,), more=more)
    with pytest.raises(ImageError, match=rf"a\.zarr .*{words}"):
        open_image(path)


def test_red_green_and_blue_are_a_stain(tmp_path: Path, rgb: np.ndarray) -> None:
    more = omero(("Channel 0", "FF0000"), ("Channel 1", "00FF00"), ("Channel 2", "0000FF"))
    path = write_ome_zarr(tmp_path / "a.zarr", rgb[:64, :64], 0.25, factors=(1,), more=more)
    assert open_image(path).box == Box(0, 0, 64, 64)


@pytest.mark.parametrize(
    ("samples", "axes", "words"),
    [
        (np.zeros((64, 64, 7), np.uint8), "cyx", "has 7 channels"),
        (np.zeros((64, 64, 3), np.uint16), "cyx", "samples of uint16"),
    ],
)
def test_other_samples_are_refused_in_words(
    tmp_path: Path, samples: np.ndarray, axes: str, words: str
) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", samples, 0.25, factors=(1,), axes=axes)
    with pytest.raises(ImageError, match=words):
        open_image(path)


def test_a_stack_is_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((5, 64, 64), np.uint8))
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(ImageError, match="stack of 5 planes in z"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"multiscales": []},
        {"multiscales": 3},
        {"multiscales": [{"axes": [], "datasets": []}]},
        {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": []}]},
        {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "7"}]}]},
        {"multiscales": [{"axes": "yx", "datasets": [{"path": "0"}]}]},
    ],
)
def test_metadata_that_do_not_hold_together_are_an_error_of_the_file(
    tmp_path: Path, rgb: np.ndarray, said: dict[str, object]
) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", rgb[:64, :64], 0.25, factors=(1,))
    (path / ".zattrs").write_text(json.dumps(said))
    with pytest.raises(ImageError, match=r"a\.zarr"):
        open_image(path)


def test_a_level_that_is_missing_is_an_error_of_the_file(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", rgb[:300, :300], 0.25, factors=(1, 2))
    shutil.rmtree(path / "1")
    with pytest.raises(ImageError, match=r"a\.zarr"):
        open_image(path)


def test_a_damaged_chunk_spoils_its_own_region_alone(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", rgb, 0.25)
    for chunk in (path / "0").glob("0.0.0"):
        chunk.write_bytes(b"\xff" * 50)
    image = open_image(path)
    with pytest.raises(DamagedRegionError, match=r"a\.zarr is damaged at x 0 to 256, y 0 to 300"):
        image.read_region(Box(10, 10, 20, 20))
    assert image.read_region(Box(256, 0, 1000, 1000)).shape == (1000, 744, 3)
    assert image.read_region(image.box, 1).shape == (593, 765, 3)


def test_a_folder_is_one_image_and_its_labels_are_none(tmp_path: Path, rgb: np.ndarray) -> None:
    """Listed, looked for after it was moved, and known by what it holds."""
    folder = tmp_path / "slides"
    folder.mkdir()
    path = write_ome_zarr(folder / "b.ome.zarr", rgb[:300, :400], 0.25)
    write_ome_zarr(path / "labels" / "cells.zarr", rgb[:300, :400], 0.25)
    (folder / "plain folder").mkdir()
    assert find_images([folder]) == [path]
    assert find_images([path]) == [path]
    assert image_stem(path) == "b.ome"
    image = open_image(path)
    assert image.id.startswith("slide1-")
    entry = entry_of(image, path, 0.5)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    again = path.rename(moved / "c.zarr")
    found = look_for([entry], ImageFinder([tmp_path / "elsewhere"])).found
    assert found == {entry.sha256: again}
    stored = zarr.open_group(again, mode="r+")["0"]
    stored[:, 5:9, 5:9] = 7
    assert open_image(again).id != image.id


def test_of_a_collection_the_first_image_is_taken(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write_ome_zarr(path / "0", rgb[:300, :400], 0.25)
    write_ome_zarr(path / "1", 255 - rgb[:300, :400], 0.25)
    image = open_image(path)
    np.testing.assert_array_equal(image.read_region(image.box), rgb[:300, :400])


@pytest.mark.parametrize("version", [2, 3])
def test_labels_alone_are_told_from_an_image_with_labels(
    tmp_path: Path, rgb: np.ndarray, version: int
) -> None:
    image = write_ome_zarr(tmp_path / "image.zarr", rgb[:300, :400], 0.25)
    labels = zarr.open_group(tmp_path / "a.labels.zarr", mode="w", zarr_format=version)
    said = {"image-label": {}, "multiscales": []}
    labels.attrs.update(said if version == 2 else {"ome": said})
    several = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=version)
    several.attrs.update({"labels": ["cells"]} if version == 2 else {"ome": {"labels": ["cells"]}})
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zattrs").write_text("[")
    alone = {path.name: holds_labels_alone(path) for path in tmp_path.iterdir()}
    assert {name for name, is_so in alone.items() if is_so} == {"a.labels.zarr", "b.zarr"}
    assert image in find_images([tmp_path])
    assert not {tmp_path / "a.labels.zarr", tmp_path / "b.zarr"} & set(find_images([tmp_path]))
