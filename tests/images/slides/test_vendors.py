from __future__ import annotations

import shutil
import sys
import types
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import DamagedRegionError, ImageError
from napari_nunext.core.geometry import Box
from napari_nunext.images import find_images, open_image
from napari_nunext.images.slides import vendors
from tests.images.slides.marked import GLASS, assert_overlay, drawing, shrunk
from tests.images.slides.vendors_layouts import (
    write_bif,
    write_mrxs,
    write_ndpi,
    write_scn,
    write_vms,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[Path, np.ndarray, float], Path]

WRITERS = {
    "a é b.ndpi": (write_ndpi, 3),
    "a é b.scn": (write_scn, 2),
    "a é b.bif": (write_bif, 3),
    "a é b.mrxs": (write_mrxs, 3),
    "a é b.vms": (write_vms, 6),
}


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawing()


@pytest.mark.parametrize("mpp", [0.25, 0.499])
@pytest.mark.parametrize("name", WRITERS)
def test_marks_lie_where_they_are(tmp_path: Path, rgb: np.ndarray, name: str, mpp: float) -> None:
    """The origin is where scanning began: MRXS and SCN lie off that of the glass."""
    write, levels = WRITERS[name]
    image = open_image(write(tmp_path / name, rgb, mpp))
    assert_overlay(image, levels=levels, mpp=mpp)


@pytest.mark.parametrize("name", WRITERS)
def test_labels_and_names_are_never_read(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    write, _ = WRITERS[name]
    image = open_image(write(tmp_path / name, rgb, 0.25))
    for level in range(len(image.levels)):
        assert image.read_region(image.box, level)[..., 1].min() > 50  # labels are pure magenta
    reader = vendors.OpenSlideReader(image.path)
    assert "Somebody" not in repr(vars(reader))
    assert "associated" not in repr(vars(reader))


@pytest.mark.parametrize("name", WRITERS)
def test_a_slide_is_known_wherever_it_lies(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    write, _ = WRITERS[name]
    (tmp_path / "one").mkdir()
    path = write(tmp_path / "one" / name, rgb, 0.25)
    (tmp_path / "one").rename(tmp_path / "two")
    moved = tmp_path / "two" / name
    known = open_image(moved).id
    assert known.startswith("slide1-")
    assert len(known) == 64
    shutil.copytree(tmp_path / "two", tmp_path / "three")
    assert open_image(tmp_path / "three" / name).id == known
    other = write(tmp_path / name, 255 - rgb, 0.25)
    assert open_image(other).id != known
    assert not path.exists()


def test_a_folder_gives_slides_and_not_their_parts(tmp_path: Path, rgb: np.ndarray) -> None:
    paths = [
        write(tmp_path / f"{name[:1]}{name[-5:]}", rgb, 0.25)
        for name, (write, _) in WRITERS.items()
    ]
    assert sorted(find_images([tmp_path])) == sorted(paths)


def test_pictures_that_were_not_taken_are_background(tmp_path: Path, rgb: np.ndarray) -> None:
    image = open_image(write_mrxs(tmp_path / "a.mrxs", rgb, 0.25, not_taken=((2, 3),)))
    np.testing.assert_array_equal(image.read_region(Box(520, 780, 760, 1020)), GLASS)


def test_a_damaged_tile_spoils_its_own_region_alone(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_mrxs(tmp_path / "a.mrxs", rgb, 0.25)
    data = path.with_suffix("") / "Data0000.dat"
    held = bytearray(data.read_bytes())
    held[:300] = bytes(300)  # the first picture of level 0
    data.write_bytes(held)
    image = open_image(path)
    for _ in range(2):
        with pytest.raises(DamagedRegionError, match=r"a\.mrxs is damaged at x 0 to 512"):
            image.read_region(Box(0, 0, 30, 30))
        assert image.read_region(Box(512, 0, 1500, 1000)).shape == (1000, 988, 3)


@pytest.mark.parametrize("file", ["Slidedat.ini", "Index.dat", "Data0000.dat"])
def test_a_mrxs_that_lacks_a_file_is_an_error_of_the_slide(
    tmp_path: Path, rgb: np.ndarray, file: str
) -> None:
    path = write_mrxs(tmp_path / "a.mrxs", rgb, 0.25)
    (path.with_suffix("") / file).unlink()
    with pytest.raises(ImageError, match=r"a\.mrxs"):
        open_image(path)


@pytest.mark.parametrize("name", ["a é b.ndpi", "a é b.scn", "a é b.bif"])
def test_a_file_that_was_cut_off_is_an_error_of_the_slide(
    tmp_path: Path, rgb: np.ndarray, name: str
) -> None:
    write, _ = WRITERS[name]
    path = write(tmp_path / name, rgb, 0.25)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 3)
    with pytest.raises(ImageError, match="a é b"):
        open_image(path).read_region(Box(0, 0, 1531, 1187))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (0, 0, 300, 200)),
        ({"x": "20", "y": "10", "width": "100", "height": "50"}, (20, 10, 100, 50)),
        ({"x": "20", "y": "10", "width": "1000", "height": "1000"}, (20, 10, 280, 190)),
        ({"x": "-5", "y": "0", "width": "100", "height": "50"}, (0, 0, 300, 200)),
        ({"x": "nan", "y": "0", "width": "100", "height": "50"}, (0, 0, 300, 200)),
        ({"x": "20", "y": "10"}, (0, 0, 300, 200)),
    ],
)
def test_bounds_count_where_they_make_sense(
    said: dict[str, str], expected: tuple[int, int, int, int]
) -> None:
    reader = object.__new__(vendors.OpenSlideReader)
    reader._kept = {f"openslide.bounds-{side}": value for side, value in said.items()}
    reader._slide = types.SimpleNamespace(dimensions=(300, 200))
    assert reader._scanned() == expected


# iSyntax: no file of it can be had or made


class StandIn:
    """What pyisyntax documents (0.1.7), over pixels in memory."""

    def __init__(self, rgb: np.ndarray) -> None:
        self._levels = [rgb, shrunk(rgb, 2), shrunk(rgb, 4)]
        self.wsi = types.SimpleNamespace(
            levels=iter(
                types.SimpleNamespace(
                    scale=scale,
                    width=level.shape[1],
                    height=level.shape[0],
                    mpp_x=0.25 * 2**scale,
                    mpp_y=0.25 * 2**scale,
                )
                for scale, level in enumerate(self._levels)
            )
        )

    def read_region(self, x: int, y: int, width: int, height: int, level: int = 0) -> np.ndarray:
        """RGBA, in pixels of the level."""
        part = self._levels[level][y : y + height, x : x + width]
        assert part.shape[:2] == (height, width)
        return np.dstack([part, np.full(part.shape[:2], 255, np.uint8)])

    def close(self) -> None:
        """As its."""


def test_isyntax_is_read_as_its_package_documents_it(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = types.SimpleNamespace(open=lambda path: StandIn(rgb))
    monkeypatch.setitem(sys.modules, "isyntax", types.SimpleNamespace(ISyntax=opened))
    path = tmp_path / "a.isyntax"
    path.write_bytes(b'<DataObject ObjectType="DPUfsImport">')
    image = open_image(path)
    assert_overlay(image, levels=3, mpp=0.25)
    assert image.id == open_image(path).id
    np.testing.assert_array_equal(image.read_region(image.box), rgb)


def test_without_its_package_isyntax_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "isyntax", None)
    (tmp_path / "a.isyntax").write_bytes(b"<DataObject>")
    with pytest.raises(ImageError, match="pip install 'pyisyntax'"):
        open_image(tmp_path / "a.isyntax")
