from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.images import open_image
from napari_nunext.images.tiff import read_samples, read_tiff

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, size=(32, 48, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tile.tif"


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_rgb_is_read_unchanged(
    path: Path, rgb: np.ndarray, compression: str | None, tile: tuple[int, int] | None
) -> None:
    tifffile.imwrite(path, rgb, photometric="rgb", compression=compression, tile=tile)
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.notes == ()
    assert image.mpp is None


def test_planar_channels_are_put_last(path: Path, rgb: np.ndarray) -> None:
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(open_image(path).rgb, rgb)


def test_jpeg_compression_in_ycbcr_gives_rgb(path: Path) -> None:
    Image.new("RGB", (32, 32), (200, 40, 90)).save(path, compression="jpeg")
    rgb = open_image(path).rgb
    assert np.abs(rgb.astype(int) - (200, 40, 90)).max() <= 4


@pytest.mark.parametrize(
    ("samples", "expected", "note"),
    [
        (np.array([[0, 200]], np.uint8), [0, 200], "greyscale, shown as RGB 8-bit"),
        (np.array([[0, 65535]], np.uint16), [0, 255], "greyscale 16-bit, shown as RGB 8-bit"),
        (np.array([[0, 1023]], np.uint16), [0, 255], "greyscale 16-bit, shown as RGB 8-bit"),
        (np.array([[0.0, 0.5]], np.float32), [0, 128], "greyscale 32-bit float, shown as RGB"),
        (np.array([[-3.0, 7.0]], np.float64), [0, 255], "greyscale 64-bit float, shown as RGB"),
        (np.array([[-1, 1]], np.int16), [0, 255], "greyscale 16-bit, shown as RGB 8-bit"),
        (np.array([[False, True]]), [0, 255], "greyscale 1-bit, shown as RGB 8-bit"),
    ],
    ids=["8", "16", "10-in-16", "unit float", "float", "signed", "bilevel"],
)
def test_other_depths_are_scaled_and_noted(
    path: Path, samples: np.ndarray, expected: list[int], note: str
) -> None:
    tifffile.imwrite(path, samples, photometric="minisblack")
    image = open_image(path)
    for channel in range(3):
        np.testing.assert_array_equal(image.rgb[0, :, channel], expected)
    assert len(image.notes) == 1
    assert image.notes[0].startswith(note)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.uint16])
def test_float_0_255_stretched(path: Path, rng: np.random.Generator, dtype: type) -> None:
    """Stain normalisers and MATLAB write 8-bit values in wider types: the picture is the same."""
    pale = rng.integers(120, 248, (16, 16, 3), dtype=np.uint8)
    tifffile.imwrite(path, pale.astype(dtype), photometric="rgb")
    np.testing.assert_array_equal(open_image(path).rgb, pale)


def test_nan_is_refused(path: Path) -> None:
    tifffile.imwrite(path, np.array([[0.0, np.nan]], np.float32))
    with pytest.raises(ImageError, match="NaN"):
        _ = open_image(path).rgb


def test_white_is_zero_is_inverted(path: Path) -> None:
    tifffile.imwrite(path, np.array([[0, 255, 100]], np.uint8), photometric="miniswhite")
    np.testing.assert_array_equal(open_image(path).rgb[0, :, 0], [255, 0, 155])


def test_palette_is_resolved(path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 7] = np.array([10, 20, 30]) * 257
    tifffile.imwrite(path, np.array([[7, 0]], np.uint8), photometric="palette", colormap=palette)
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, [[[10, 20, 30], [0, 0, 0]]])
    assert image.notes == ("palette colours, shown as RGB 8-bit",)


def test_cmyk_is_shown_as_rgb(path: Path) -> None:
    inks = np.array([[[0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    tifffile.imwrite(path, inks, photometric="separated")
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, [[[255, 0, 0], [0, 0, 0], [255, 255, 255]]])
    assert image.notes == ("CMYK, shown as RGB 8-bit",)


@pytest.mark.parametrize(("kind", "shown"), [("unassalpha", 224), ("assocalpha", 255)])
def test_transparent_pixels_are_put_on_white(path: Path, kind: str, shown: int) -> None:
    rgba = np.array([[[100, 100, 100, 51], [0, 0, 0, 0]]], np.uint8)
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=[kind])
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb[0, :, 0], [shown, 255])
    assert image.notes == ("transparent pixels put on white",)


def test_unnamed_extra_channel_is_left_out(path: Path, rgb: np.ndarray) -> None:
    four = np.concatenate([rgb, rgb[..., :1]], axis=2)
    tifffile.imwrite(path, four, photometric="rgb", extrasamples=["unspecified"])
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.notes == ("extra channels left out",)


def test_first_of_several_pages_is_shown(path: Path, rgb: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb, photometric="rgb", metadata=None)
        writer.write(rgb[:10, :10], photometric="rgb", metadata=None)
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.notes == ("2 pages, the first is shown",)


def test_first_of_equal_pages_is_shown(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, np.stack([rgb, 255 - rgb]), photometric="rgb", metadata=None)
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.notes == ("2 pages, the first is shown",)


@pytest.mark.parametrize(("axes", "word"), [("ZYX", "depth"), ("TYX", "time")])
def test_stack_is_refused(path: Path, axes: str, word: str) -> None:
    tifffile.imwrite(path, np.zeros((5, 8, 8), np.uint8), imagej=True, metadata={"axes": axes})
    with pytest.raises(ImageError, match=f"stack of 5 planes in {word}"):
        open_image(path)


def test_many_channels_are_refused(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((7, 8, 8), np.uint8), ome=True, metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="7 channels"):
        open_image(path)


def test_three_separate_channels_are_taken_as_rgb(path: Path, rgb: np.ndarray) -> None:
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.notes == ("3 channels, taken as red, green and blue, shown as RGB 8-bit",)


@pytest.mark.parametrize(
    "channel",
    [{"Name": "DAPI"}, {"EmissionWavelength": 461}, {"ContrastMethod": "Fluorescence"}],
    ids=["dye", "wavelength", "method"],
)
def test_fluorescence_is_told_from_bright_field(
    path: Path, rgb: np.ndarray, channel: dict[str, object]
) -> None:
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    said = {key: [value] * 3 for key, value in channel.items()}
    metadata = {"axes": "CYX", "Channel": said}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    with pytest.raises(ImageError, match=r"tile\.tif shows fluorescence.*bright field"):
        open_image(path)


def test_other_colour_models_are_refused(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb, photometric="cielab")
    with pytest.raises(ImageError, match="colour model CIELAB"):
        open_image(path)


def test_orientation_tag_is_honoured(path: Path, rgb: np.ndarray) -> None:
    stored = np.ascontiguousarray(np.rot90(rgb, 1))
    tifffile.imwrite(path, stored, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert (image.width_px, image.height_px) == (48, 32)


@pytest.mark.parametrize(
    ("unit", "per_um"), [("CENTIMETER", 1e4), ("INCH", 25_400.0)], ids=["cm", "inch"]
)
def test_resolution_tags_are_a_scale(path: Path, rgb: np.ndarray, unit: str, per_um: float) -> None:
    resolution = (per_um / 0.25, per_um / 0.25)
    tifffile.imwrite(path, rgb, resolution=resolution, resolutionunit=unit)
    image = open_image(path)
    assert image.mpp == pytest.approx(0.25, rel=1e-5)
    assert image.mpp_source == "file"


@pytest.mark.parametrize(("resolution", "unit"), [((72, 72), "INCH"), ((2, 2), "NONE")])
def test_default_resolution_is_no_scale(
    path: Path, rgb: np.ndarray, resolution: tuple[int, int], unit: str
) -> None:
    tifffile.imwrite(path, rgb, resolution=resolution, resolutionunit=unit)
    assert open_image(path).mpp is None


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "micrometers", "Micrometre"])
def test_imagej_unit_is_read(path: Path, rgb: np.ndarray, unit: str) -> None:
    tifffile.imwrite(path, rgb, imagej=True, resolution=(2, 2), metadata={"unit": unit})
    assert open_image(path).mpp == pytest.approx(0.5)


def test_imagej_unit_without_a_resolution_is_no_scale(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb, imagej=True, metadata={"unit": "um"})
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("XResolution", "YResolution"):
            tif.pages.first.tags[name].overwrite((0, 1))
    assert open_image(path).mpp is None


@pytest.mark.parametrize(("size", "unit"), [(0.325, "\u00b5m"), (325.0, "nm")])
def test_ome_pixel_size_is_read_in_its_unit(
    path: Path, rgb: np.ndarray, size: float, unit: str
) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
    metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, rgb, photometric="rgb", ome=True, metadata=metadata)
    image = open_image(path)
    assert image.mpp == pytest.approx(0.325)
    assert image.notes == ()
    np.testing.assert_array_equal(image.rgb, rgb)


def test_huge_header_is_refused_before_memory_is_taken(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((1, 1, 3), np.uint8), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["ImageWidth"].overwrite(100_000)
        tif.pages.first.tags["ImageLength"].overwrite(100_000)
    with pytest.raises(ImageError, match="100000 x 100000 px; a tile may have 178 million"):
        open_image(path)


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_missing_strips_are_refused_not_filled(
    path: Path, rng: np.random.Generator, compression: str | None
) -> None:
    rgb = rng.integers(0, 256, size=(256, 256, 3), dtype=np.uint8)
    tifffile.imwrite(path, rgb, photometric="rgb", compression=compression, rowsperstrip=16)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 4)
    with pytest.raises(ImageError, match="incomplete"):
        _ = open_image(path).rgb


def test_garbage_after_the_magic_number_is_refused(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(b"II*\0" + rng.bytes(200))
    with pytest.raises(ImageError, match=r"tile\.tif"):
        open_image(path)


def test_garbled_compressed_data_is_refused(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        _ = open_image(path).rgb


APERIO = "Aperio Image Library v11.2.1\r\n48x32 [0,0 48x32] (240x240) JPEG/RGB Q=30|AppMag = 40"


def test_aperio_tile_mpp_ignored(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb, description=f"{APERIO}|MPP = 0.2500|Left = 1", metadata=None)
    image = open_image(path)
    assert (image.mpp, image.mpp_source, image.notes) == (0.25, "file", ())


def test_aperios_description_without_a_scale_leaves_it_to_the_tags(
    path: Path, rgb: np.ndarray
) -> None:
    options = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, rgb, description=f"{APERIO}|MPP = x", **options)
    assert open_image(path).mpp == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, 0.25),
        ({"PhysicalSizeX": 0.4}, 0.4),
        ({"PhysicalSizeY": 0.4}, 0.4),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}, 0.25),
        ({"PhysicalSizeX": 0.4, "PhysicalSizeY": 0.4, "PhysicalSizeYUnit": "pixel"}, 0.4),
        ({"PhysicalSizeX": 0.0005, "PhysicalSizeXUnit": "millimeter"}, 0.5),
    ],
    ids=["nothing", "x alone", "y alone", "pixels", "y in pixels", "millimeter"],
)
def test_ome_scale_in_tiff_tags(
    path: Path, rgb: np.ndarray, said: dict[str, object], expected: float
) -> None:
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        ome=True,
        metadata={"axes": "YXS", **said},
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )
    assert open_image(path).mpp == pytest.approx(expected)


def test_thumbnail_page_taken(path: Path, rgb: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        for step, kind in ((4, 1), (2, 1), (1, 0)):
            writer.write(
                np.ascontiguousarray(rgb[::step, ::step]),
                photometric="rgb",
                subfiletype=kind,
                resolution=(40_000 / step, 40_000 / step),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert image.mpp == pytest.approx(0.25)
    assert image.notes == ("3 pages, the first of full size is shown",)


def test_of_an_aperio_slide_it_is_not_said_that_it_has_a_thumbnail_and_a_label(
    path: Path, rgb: np.ndarray
) -> None:
    with tifffile.TiffWriter(path) as writer:
        for step, description in (
            (1, APERIO),
            (4, "Aperio\r\nthumbnail"),
            (2, "Aperio\r\nlabel 9x9"),
        ):
            part = np.ascontiguousarray(rgb[::step, ::step])
            writer.write(part, photometric="rgb", description=description, metadata=None)
    picture = read_tiff(path)
    np.testing.assert_array_equal(picture.decode(), rgb)
    assert picture.notes == open_image(path).notes == ()


@pytest.mark.parametrize("words", ["Label Image", "Label_Image", "Macro", "Thumbnail"])
def test_a_photograph_of_the_label_is_never_shown(path: Path, rgb: np.ndarray, words: str) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(255 - rgb[:20], photometric="rgb", description=words, metadata=None)
        writer.write(rgb, photometric="rgb", description="level=0", metadata=None)
    np.testing.assert_array_equal(open_image(path).rgb, rgb)


def test_tiles_left_out_by_the_scanner_are_glass(path: Path, rgb: np.ndarray) -> None:
    tiles = (rgb[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16, 32))
    some = (None if i in (1, 5) else tile for i, tile in enumerate(tiles))
    tifffile.imwrite(path, some, shape=rgb.shape, dtype=rgb.dtype, photometric="rgb", tile=(16, 16))
    expected = rgb.copy()
    expected[:16, 16:32] = expected[16:, 32:] = 255
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, expected)
    assert image.notes == ("tiles without data shown white",)


def test_an_image_of_which_every_tile_is_left_out_is_incomplete(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), photometric="rgb", tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("TileOffsets", "TileByteCounts"):
            tif.pages.first.tags[name].overwrite((0,) * 4)
    with pytest.raises(ImageError, match="incomplete"):
        open_image(path)


@pytest.mark.parametrize("pages", [1, 3])
def test_pages_that_lead_back_to_the_first_do_not_go_round_for_ever(
    path: Path, rgb: np.ndarray, pages: int
) -> None:
    with tifffile.TiffWriter(path) as writer:
        for _ in range(pages):
            writer.write(rgb, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[-1].offset
    data = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<H", data, last)
    struct.pack_into("<I", data, last + 2 + 12 * tags, first)
    path.write_bytes(data)
    np.testing.assert_array_equal(open_image(path).rgb, rgb)
    assert read_samples(path).shape[-3:] == rgb.shape


@pytest.mark.parametrize("samples", [300, 65_535])
def test_memory_is_bounded_before_it_is_taken(path: Path, samples: int) -> None:
    tifffile.imwrite(path, np.zeros((2000, 2000, 1), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["SamplesPerPixel"].overwrite(samples)
    with pytest.raises(ImageError, match=r"tile\.tif"):
        open_image(path)


def test_a_tile_larger_than_memory_is_refused(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.uint8), photometric="rgb", tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["TileWidth"].overwrite(60_000)
        tif.pages.first.tags["TileLength"].overwrite(60_000)
    with pytest.raises(ImageError, match="60000 x 60000 px"):
        open_image(path)


def test_whatever_a_decoder_raises_is_that_files_error(
    path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(path, rgb, photometric="rgb")
    image = open_image(path)

    def overflow(*_: object, **__: object) -> np.ndarray:
        raise OverflowError("cannot fit")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", overflow)
    with pytest.raises(ImageError, match=r"tile\.tif is damaged"):
        _ = image.rgb
