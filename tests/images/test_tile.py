from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import CalibrationError, ImageError, InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images import image_stem, open_image
from napari_nunext.images.picture import MAX_PIXELS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, size=(40, 60, 3), dtype=np.uint8)


@pytest.fixture
def png(tmp_path: Path, rgb: np.ndarray) -> Path:
    path = tmp_path / "tile.png"
    Image.fromarray(rgb).save(path)
    return path


def png_header_only(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 10))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    return path


def test_rgb_png_gives_its_pixels_unchanged_and_nothing_to_note(png: Path, rgb: np.ndarray) -> None:
    image = open_image(png)
    np.testing.assert_array_equal(image.rgb, rgb)
    assert (image.width_px, image.height_px) == (60, 40)
    assert image.notes == ()
    assert (image.mpp, image.mpp_source) == (None, None)
    assert image.box == Box(0, 0, 60, 40)


def test_pixels_cannot_be_changed_behind_their_hash(png: Path) -> None:
    image = open_image(png)
    with pytest.raises(ValueError, match="read-only"):
        image.rgb[0, 0] = 0


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("A_0.9824.png", "A_0.9824"),
        ("A_0.9824", "A_0.9824"),
        ("a b.c.PNG", "a b.c"),
        ("Gewebe \u00e4\u00f6 \u7d44\u7e54.png", "Gewebe \u00e4\u00f6 \u7d44\u7e54"),
        ("x.png.png", "x.png"),
    ],
)
def test_only_the_image_suffix_is_removed_from_a_name(
    tmp_path: Path, rgb: np.ndarray, name: str, stem: str
) -> None:
    path = tmp_path / name
    Image.fromarray(rgb).save(path, format="PNG")
    image = open_image(path)
    assert (image.name, image_stem(image.path)) == (name, stem)
    np.testing.assert_array_equal(image.rgb, rgb)


def test_a_renamed_or_reencoded_copy_is_the_same_image(tmp_path: Path, png: Path) -> None:
    original = open_image(png)
    copy = tmp_path / "other name.tif"
    Image.fromarray(original.rgb).save(copy, compression="tiff_lzw")
    assert open_image(copy).id == original.id == pixels_sha256(original.rgb)


def test_one_changed_pixel_is_another_image(tmp_path: Path, png: Path, rgb: np.ndarray) -> None:
    rgb[3, 4, 1] ^= 1
    changed = tmp_path / "changed.png"
    Image.fromarray(rgb).save(changed)
    assert open_image(changed).id != open_image(png).id


def test_the_users_scale_prevails_and_is_marked(png: Path, tmp_path: Path, rgb: np.ndarray) -> None:
    calibrated = tmp_path / "calibrated.png"
    Image.fromarray(rgb).save(calibrated, dpi=(25_400 / 0.25, 25_400 / 0.25))
    from_file = open_image(calibrated)
    assert from_file.mpp == pytest.approx(0.25, rel=1e-4)
    assert from_file.mpp_source == "file"
    given = open_image(calibrated, mpp=0.5)
    assert (given.mpp, given.mpp_source) == (0.5, "user")
    assumed = open_image(png).with_scale(0.5, "assumed")
    assert (assumed.scale.mpp, assumed.scale.source) == (0.5, "assumed")


def test_an_absurd_scale_from_the_user_is_refused(png: Path) -> None:
    with pytest.raises(CalibrationError, match=r"tile\.png has a scale of 400"):
        open_image(png, mpp=400)


def test_pixels_are_shared_when_only_the_scale_changes(png: Path) -> None:
    image = open_image(png)
    assert image.with_scale(0.25, "user").rgb is image.rgb


def test_threads_that_ask_at_once_get_one_array(png: Path) -> None:
    image = open_image(png)
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda _: image.rgb, range(8)))
    assert len({id(array) for array in arrays}) == 1


def test_window_of_the_file_is_cut_from_its_pixels(png: Path, rgb: np.ndarray) -> None:
    np.testing.assert_array_equal(
        open_image(png).read_window(Box(8, 4, 24, 20), 16), rgb[4:20, 8:24]
    )


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png cannot be opened: No such file"):
        open_image(tmp_path / "gone.png")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    path.touch()
    with pytest.raises(ImageError, match=r"empty\.tif is empty \(0 bytes\)"):
        open_image(path)


@pytest.mark.parametrize("content", [b"hello, I am text", b"BM" + b"\0" * 60, b"\0"])
def test_other_kinds_of_file_are_refused_whatever_their_suffix(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"is not a PNG, JPEG, TIFF, .* image"):
        open_image(path)


@pytest.mark.parametrize("side", [13_400, 100_000])
def test_huge_header_is_refused_before_memory_is_taken(tmp_path: Path, side: int) -> None:
    path = png_header_only(tmp_path / "bomb.png", side, side)
    with pytest.raises(ImageError, match=f"{MAX_PIXELS // 1_000_000} million pixels"):
        open_image(path)


def test_large_tile_below_the_limit_is_opened_without_a_warning(tmp_path: Path) -> None:
    image = open_image(png_header_only(tmp_path / "large.png", 12_000, 12_000))
    assert image.width_px == 12_000
    with pytest.raises(ImageError, match="damaged or incomplete"):
        _ = image.rgb


def test_header_without_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"zero\.png"):
        open_image(png_header_only(tmp_path / "zero.png", 0, 10))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file_is_refused_never_half_grey(
    tmp_path: Path, rng: np.random.Generator, kind: str, share: float
) -> None:
    path = tmp_path / "cut"
    Image.fromarray(rng.integers(0, 256, size=(200, 200, 3), dtype=np.uint8)).save(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=r"cut is (damaged|incomplete)"):
        _ = open_image(path).rgb


def test_flipped_byte_in_a_png_is_noticed(png: Path) -> None:
    content = bytearray(png.read_bytes())
    content[len(content) // 2] ^= 0xFF
    png.write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        _ = open_image(png).rgb


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(0, 0, 60, 40), slice(None), slice(None)),
        (Box(10, 5, 20, 7), slice(5, 7), slice(10, 20)),
        (Box(10.2, 5.9, 19.1, 6.1), slice(5, 7), slice(10, 20)),
        (Box(-50, 30, 5, 90), slice(30, 40), slice(0, 5)),
    ],
)
def test_a_region_is_the_whole_pixels_that_a_box_touches(
    png: Path, rgb: np.ndarray, box: Box, rows: slice, columns: slice
) -> None:
    region = open_image(png).read_region(box)
    np.testing.assert_array_equal(region, rgb[rows, columns])
    assert not region.flags.writeable


def test_a_tile_is_held_once_whoever_reads_all_of_it(png: Path) -> None:
    image = open_image(png)
    assert image.read_region(image.box) is image.read_region(image.box.grown(9))
    assert (image.levels, image.held_bytes) == ((1.0,), 3 * 60 * 40)


@pytest.mark.parametrize(
    ("box", "level"), [(Box(60, 0, 70, 40), 0), (Box(5, 5, 5, 9), 0), (Box(0, 0, 60, 40), 1)]
)
def test_a_region_without_pixels_is_refused(png: Path, box: Box, level: int) -> None:
    with pytest.raises(InputError, match=r"tile\.png has no pixels .* at level 0"):
        open_image(png).read_region(box, level)
