from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_nunext.core.errors import DamagedRegionError, ImageError, InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images import Tile, open_image, open_tile
from napari_nunext.images.slides import slide as slide_module
from napari_nunext.images.slides import tiff as tiff_module
from napari_nunext.images.slides.slide import Slide
from tests.images.slides.marked import assert_overlay, drawing, shrunk, swapped_profile

if TYPE_CHECKING:
    from pathlib import Path

TILED = {"tile": (256, 256), "photometric": "rgb"}


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawing()


def write_pyramid(path: Path, rgb: np.ndarray, factors: tuple[int, ...] = (2, 4, 8)) -> Path:
    """Pages one after another, as Aperio and vips write them, without compression."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        per_cm = 1e4 / 0.25
        options = {**TILED, "metadata": None, "resolutionunit": "CENTIMETER"}
        writer.write(rgb, resolution=(per_cm, per_cm), **options)
        for factor in factors:
            writer.write(shrunk(rgb, factor), subfiletype=1, **options)
    return path


def write_ome(path: Path, rgb: np.ndarray, mpp: float, **more: object) -> Path:
    """Levels in SubIFDs, as OME-TIFF has them."""
    options = {**TILED, **more}
    with tifffile.TiffWriter(path, ome=True) as writer:
        size = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
        writer.write(rgb, subifds=3, metadata={"axes": "YXS", **size}, **options)
        for factor in (2, 4, 8):
            writer.write(shrunk(rgb, factor), subfiletype=1, metadata=None, **options)
    return path


def write_svs(path: Path, rgb: np.ndarray, mpp: float, factors: tuple[int, ...] = (4, 16)) -> Path:
    """As Aperio lays it out: level 0, thumbnail, the other levels, label and macro."""
    said = "Aperio Image Library v11.2.1\r\n1531x1187 [0,0 1531x1187] (256x256) JPEG/RGB Q=90"
    with tifffile.TiffWriter(path) as writer:
        words = f"{said}|AppMag = 40|MPP = {mpp}|User = somebody|Filename = 1234"
        options = {"compression": "jpeg", "compressionargs": {"level": 95}, "metadata": None}
        writer.write(rgb, description=words, **TILED, **options)
        writer.write(shrunk(rgb, 8), photometric="rgb", description=said, metadata=None)
        for factor in factors:
            writer.write(shrunk(rgb, factor), description=said, **TILED, **options)
        label = np.full((99, 120, 3), (255, 0, 255), np.uint8)
        for kind, words in ((1, "label 99x120"), (9, "macro 99x120")):
            writer.write(
                label, subfiletype=kind, photometric="rgb", metadata=None,
                description=f"Aperio Image Library v11.2.1\r\n{words}",
            )  # fmt: skip
    return path


@pytest.mark.parametrize("mpp", [0.25, 0.499])
def test_marks_lie_where_they_are_in_an_svs(tmp_path: Path, rgb: np.ndarray, mpp: float) -> None:
    image = open_image(write_svs(tmp_path / "a b é.svs", rgb, mpp))
    assert_overlay(image, levels=3, mpp=mpp)
    assert image.levels == (1.0, 4.0, 16.0)
    assert image.notes == ()


@pytest.mark.parametrize("mpp", [0.25, 0.499])
def test_marks_lie_where_they_are_in_an_ome_tiff(
    tmp_path: Path, rgb: np.ndarray, mpp: float
) -> None:
    image = open_image(write_ome(tmp_path / "a.ome.tif", rgb, mpp))
    assert_overlay(image, levels=4, mpp=mpp)


def test_marks_lie_where_they_are_in_a_pyramid_of_pages(tmp_path: Path, rgb: np.ndarray) -> None:
    assert_overlay(open_image(write_pyramid(tmp_path / "a.tif", rgb)), levels=4, mpp=0.25)


def test_a_pyramid_that_would_fit_a_tile_keeps_the_id_that_it_had(
    tmp_path: Path, rgb: np.ndarray
) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb)
    slide, tile = open_image(path), open_tile(path, mpp=0.5)
    assert isinstance(slide, Slide)
    assert isinstance(tile, Tile)
    assert slide.id == tile.id == pixels_sha256(rgb)
    assert tile.mpp == 0.5
    np.testing.assert_array_equal(slide.read_region(slide.box), tile.rgb)


def test_windows_are_those_of_a_tile(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb, factors=(2,))
    slide, tile = open_image(path), open_tile(path)
    for box, out_px in (
        (Box(-20, -30, 236, 226), 256),
        (Box(100.3, 50.7, 400.9, 351.3), 290),
        (Box(1400, 1100, 1656, 1356), 200),
        (Box(2000, 2000, 2100, 2100), 64),
    ):
        wanted, got = tile.read_window(box, out_px), slide.read_window(box, out_px)
        np.testing.assert_array_equal(got, wanted)


@pytest.fixture
def never_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files stand for large ones."""
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)


@pytest.mark.usefixtures("never_a_tile")
@pytest.mark.parametrize("tile", [(256, 256), None])
def test_an_image_without_levels_is_read_in_parts(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch, tile: tuple[int, int] | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", tile=tile, compression="zlib", rowsperstrip=64)
    image = open_image(path)
    assert isinstance(image, Slide)
    assert_overlay(image, levels=1, mpp=None)
    overview = Box(-10.3, -20.8, 1600, 1589.5)
    whole = image.read_window(overview, 100)
    monkeypatch.setattr(slide_module, "MOST_WINDOW_PX", 300 * 300)
    most = []
    pixels = Slide._pixels

    def counted(self: Slide, *box: int) -> np.ndarray:
        read = pixels(self, *box)
        most.append(read.shape[0] * read.shape[1])
        return read

    monkeypatch.setattr(Slide, "_pixels", counted)
    in_parts = image.read_window(overview, 100)
    assert max(most) <= 300 * 300
    assert np.abs(in_parts.astype(int) - whole).mean() < 1


@pytest.mark.usefixtures("never_a_tile")
def test_a_slide_is_known_by_what_it_holds(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb)
    first = open_image(path).id
    assert first.startswith("slide1-")
    assert len(first) == 64
    (tmp_path / "b").mkdir()
    moved = path.rename(tmp_path / "b" / "other.tif")
    assert open_image(moved).id == first
    data = bytearray(moved.read_bytes())
    with tifffile.TiffFile(moved) as tif:
        data[tif.pages.first.dataoffsets[0]] ^= 1
    moved.write_bytes(data)
    assert open_image(moved).id != first
    assert open_image(write_pyramid(path, rgb, factors=(2,))).id != first


@pytest.mark.usefixtures("never_a_tile")
def test_tiles_of_other_kinds_look_as_tiles_do(tmp_path: Path, rgb: np.ndarray) -> None:
    """Planes one after another, grey, palettes and what scanners leave out."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    ome = {"ome": True, "metadata": {"axes": "CYX"}}
    palette = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    kinds = {
        "planes": (planes, {"photometric": "rgb", "planarconfig": "separate"}),
        "grey": (rgb[..., 0], {"photometric": "minisblack"}),
        "inverted": (rgb[..., 0], {"photometric": "miniswhite"}),
        "palette": (rgb[..., 0], {"photometric": "palette", "colormap": palette}),
        "channels": (planes, {"photometric": "minisblack", **ome}),
    }  # fmt: skip
    for name, (samples, options) in kinds.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, samples, tile=(64, 64), compression="zlib", **options)
        slide, tile = open_image(path), open_tile(path)
        assert isinstance(slide, Slide), name
        np.testing.assert_array_equal(slide.read_region(slide.box), tile.rgb, err_msg=name)
        assert slide.notes == tile.notes, name


@pytest.mark.usefixtures("never_a_tile")
def test_what_a_scanner_left_out_is_glass(tmp_path: Path, rgb: np.ndarray) -> None:
    part = rgb[:512, :768]
    tiles = [part[y : y + 256, x : x + 256] for y in (0, 256) for x in (0, 256, 512)]
    some = (None if i == 4 else tile for i, tile in enumerate(tiles))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, some, shape=part.shape, dtype=part.dtype, **TILED)
    image = open_image(path)
    np.testing.assert_array_equal(image.read_region(Box(256, 256, 512, 512)), 255)
    np.testing.assert_array_equal(image.read_region(Box(0, 0, 256, 512)), part[:, :256])
    assert image.notes == ("tiles without data shown white",)


@pytest.mark.usefixtures("never_a_tile")
def test_colours_are_those_that_the_scanner_means(tmp_path: Path, rgb: np.ndarray) -> None:
    for name, profile in (("a.tif", None), ("b.tif", swapped_profile()), ("c.tif", b"no profile")):
        tags = [] if profile is None else [(34675, "B", len(profile), profile, True)]
        tifffile.imwrite(tmp_path / name, rgb, extratags=tags, **TILED)
    plain, meant, broken = (open_image(tmp_path / f"{name}.tif") for name in "abc")
    swapped = rgb[..., ::-1].astype(int)
    assert np.abs(swapped - meant.read_region(meant.box)).max() <= 2
    assert meant.notes == ("colours turned into sRGB by the scanner's profile",)
    np.testing.assert_array_equal(broken.read_region(broken.box), rgb)
    assert "profile cannot be read" in broken.notes[0]
    assert plain.notes == ()


def test_label_and_macro_are_never_read(tmp_path: Path, rgb: np.ndarray) -> None:
    image = open_image(write_svs(tmp_path / "a.svs", rgb, 0.25))
    for level in range(len(image.levels)):
        pixels = image.read_region(image.box, level)
        assert pixels[..., 1].min() > 50  # the label is pure magenta
    assert "somebody" not in repr(image.notes)


@pytest.mark.parametrize("part", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("layout", ["ome", "pages", "svs"])
def test_a_file_that_was_cut_off_is_refused_at_once(
    tmp_path: Path, rgb: np.ndarray, layout: str, part: float
) -> None:
    path = tmp_path / "a.tif"
    if layout == "ome":
        write_ome(path, rgb, 0.25)
    elif layout == "pages":
        write_pyramid(path, rgb)
    else:
        write_svs(path, rgb, 0.25)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))
    with pytest.raises(ImageError, match=r"a\.tif is (incomplete|damaged)"):
        open_image(path)


def spoil(path: Path, page: int, index: int) -> None:
    with tifffile.TiffFile(path) as tif:
        found = tif.series[0].levels[page].keyframe
        start, count = found.dataoffsets[index], found.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * min(count, 400))


@pytest.mark.usefixtures("never_a_tile")
def test_a_damaged_tile_spoils_its_own_region_alone(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_svs(tmp_path / "a.svs", rgb, 0.25)
    spoil(path, 0, 8)  # the third of the second row
    image = open_image(path)
    with pytest.raises(
        DamagedRegionError, match=r"a\.svs is damaged at x 512 to 768, y 256 to 512"
    ):
        image.read_region(Box(500, 200, 600, 300))
    with pytest.raises(DamagedRegionError) as found:
        image.read_window(Box(600, 300, 700, 400), 50)
    assert found.value.box == (512, 256, 768, 512)
    assert image.read_region(Box(0, 0, 512, 1187)).shape == (1187, 512, 3)
    assert image.read_region(image.box, 1).shape == (296, 382, 3)


@pytest.mark.usefixtures("never_a_tile")
def test_many_threads_read_what_one_does(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_svs(tmp_path / "a.svs", rgb, 0.25)
    spots = np.random.default_rng(1).integers(0, 1000, (60, 2)).tolist()
    boxes = [Box(x, y, x + 180, y + 180) for x, y in spots]
    alone = open_image(path)
    wanted = [alone.read_region(box) for box in boxes]
    shared = open_image(path)
    wrong: list[int] = []

    def read(first: int) -> None:
        for i in range(first, len(boxes), 4):
            if not np.array_equal(shared.read_region(boxes[i]), wanted[i]):
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_whole_is_one_array_as_long_as_somebody_holds_it(
    tmp_path: Path, rgb: np.ndarray
) -> None:
    """What shows an image knows by this whether it still shows it."""
    image = open_image(write_pyramid(tmp_path / "a.tif", rgb))
    whole = image.read_region(image.box)
    assert image.with_scale(0.5, "user").read_region(image.box) is whole
    assert not whole.flags.writeable
    np.testing.assert_array_equal(whole, rgb)


def test_channels_in_other_files_are_not_looked_for_in_this_one(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an OME-TIFF of several files, each has its tiles at places of its own."""
    small = rgb[:300, :400]
    ids = {name: f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i, name in enumerate("rgb")}
    planes = "".join(
        f'<TiffData IFD="0" FirstC="{c}" FirstZ="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">{ids[name]}</UUID></TiffData>'
        for c, name in enumerate("rgb")
    )
    for channel, name in enumerate("rgb"):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[name]}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint8" '
            'DimensionOrder="XYCZT" SizeX="400" SizeY="300" SizeC="3" SizeZ="1" SizeT="1">'
            f"{planes}</Pixels></Image></OME>"
        )
        plane = np.ascontiguousarray(small[..., channel])
        # Compressed, so that tiles lie elsewhere in each file.
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif", plane, tile=(64, 64), compression="zlib",
            description=xml, metadata=None,
        )  # fmt: skip
    path = tmp_path / "r.ome.tif"
    np.testing.assert_array_equal(open_tile(path).rgb, small)
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)
    assert isinstance(open_image(path), Tile)


@pytest.mark.usefixtures("never_a_tile")
def test_what_is_not_there_is_asked_for_in_vain(tmp_path: Path, rgb: np.ndarray) -> None:
    image = open_image(write_pyramid(tmp_path / "a.tif", rgb))
    for box, level in ((Box(0, 0, 9, 9), 4), (Box(0, 0, 9, 9), -1), (Box(2000, 0, 2009, 9), 0)):
        with pytest.raises(InputError, match="has no pixels"):
            image.read_region(box, level)


@pytest.mark.usefixtures("never_a_tile")
def test_more_than_fits_into_memory_is_refused(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(write_pyramid(tmp_path / "a.tif", rgb))
    monkeypatch.setattr(slide_module, "MAX_PIXELS", 1_000_000)
    with pytest.raises(ImageError, match="Read a smaller one, or a coarser level"):
        image.read_region(image.box)
    assert image.read_region(image.box, 1).shape == (593, 765, 3)
    monkeypatch.setattr("napari_nunext.images.picture.MAX_PIXELS", 1_000_000)
    with pytest.raises(ImageError, match="a tile may have 1 million pixels"):
        open_tile(tmp_path / "a.tif")


@pytest.mark.usefixtures("never_a_tile")
def test_many_channels_are_no_stain(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    data = np.zeros((7, 300, 300), np.uint8)
    tifffile.imwrite(path, data, ome=True, tile=(64, 64), metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="7 channels"):
        open_image(path)
