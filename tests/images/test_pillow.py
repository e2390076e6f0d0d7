from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nunext.images import open_image

if TYPE_CHECKING:
    from pathlib import Path


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(100, dtype=np.uint8).reshape(10, 10)
    image = open_image(saved(Image.fromarray(grey), tmp_path / "grey.png"))
    np.testing.assert_array_equal(image.rgb, np.stack([grey] * 3, axis=-1))
    assert image.notes == ("greyscale, shown as RGB",)


def test_sixteen_bit_grey_is_scaled_to_its_sensors_range(tmp_path: Path) -> None:
    grey = np.array([[0, 4095], [2048, 1024]], dtype=np.uint16)
    image = open_image(saved(Image.fromarray(grey), tmp_path / "grey16.png"))
    np.testing.assert_array_equal(image.rgb[..., 0], [[0, 255], [128, 64]])
    assert image.notes == ("16-bit grey, shown as RGB 8-bit",)


def test_sixteen_bit_colour_png_is_noted(tmp_path: Path) -> None:
    import imagecodecs

    samples = np.full((4, 4, 3), 0x8040, dtype=np.uint16)
    path = tmp_path / "colour16.png"
    path.write_bytes(imagecodecs.png_encode(samples))
    image = open_image(path)
    assert image.notes == ("16-bit colour, shown as RGB 8-bit",)
    assert np.abs(image.rgb.astype(int) - 0x80).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_cameras_twelve_bits_are_not_dark_in_a_png(tmp_path: Path, channels: int) -> None:
    import imagecodecs

    samples = np.full((4, 4, channels), 4095, dtype=np.uint16)
    samples[0] = 2048
    if channels in (2, 4):
        samples[..., -1] = 4095  # opaque on the camera's scale
    path = tmp_path / "camera.png"
    path.write_bytes(imagecodecs.png_encode(samples.squeeze()))
    rgb = open_image(path).rgb
    assert (rgb[0] == 128).all()
    assert (rgb[1:] == 255).all()


def test_palette_is_resolved(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    opened = open_image(saved(image, tmp_path / "palette.png"))
    np.testing.assert_array_equal(opened.rgb, [[[10, 20, 30], [200, 100, 50]]])
    assert opened.notes == ("palette colours, shown as RGB",)


def test_transparent_pixels_are_put_on_white(tmp_path: Path) -> None:
    rgba = np.array([[[100, 0, 0, 255], [100, 0, 0, 0], [100, 0, 0, 51]]], dtype=np.uint8)
    image = open_image(saved(Image.fromarray(rgba), tmp_path / "clear.png"))
    np.testing.assert_array_equal(image.rgb, [[[100, 0, 0], [255, 255, 255], [224, 204, 204]]])
    assert image.notes == ("transparent pixels put on white",)


def test_palette_with_a_transparent_entry_does_not_warn(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    path = saved(image, tmp_path / "clear palette.png", transparency=b"\x00\xff")
    np.testing.assert_array_equal(open_image(path).rgb, [[[255, 255, 255], [200, 100, 50]]])


def test_bilevel_is_black_and_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[True, False]]))
    opened = open_image(saved(image, tmp_path / "bits.png"))
    np.testing.assert_array_equal(opened.rgb[..., 0], [[255, 0]])
    assert opened.notes == ("black and white, shown as RGB",)


def test_cmyk_jpeg_is_shown_as_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    opened = open_image(saved(image, tmp_path / "inks.jpg", quality=95))
    assert opened.notes == ("CMYK, shown as RGB without a colour profile",)
    assert np.abs(opened.rgb.astype(int) - (255, 0, 0)).max() <= 3


def test_only_the_first_frame_of_an_animation_is_shown(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    image = open_image(path)
    assert image.notes == ("2 frames, the first is shown",)
    assert tuple(image.rgb[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((6, 9, 3), dtype=np.uint8)
    upright[:2, :3] = 255  # bright corner at the top left
    upright[:2, 6:] = 128  # grey corner at the top right
    # How a camera stores the upright picture under each tag (EXIF 2.3, section 4.6.4).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    image = open_image(path)
    np.testing.assert_array_equal(image.rgb, upright)
    assert (image.width_px, image.height_px) == (9, 6)
    assert bool(image.notes) == (orientation != 1)


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("dpi", [72, 96, 300, 1])
def test_an_editors_default_resolution_is_no_scale(tmp_path: Path, kind: str, dpi: int) -> None:
    path = saved(Image.new("RGB", (8, 8)), tmp_path / f"plain.{kind}", dpi=(dpi, dpi))
    assert open_image(path).mpp is None


def test_jpeg_density_of_a_microscope_is_a_scale(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (8, 8)), tmp_path / "m.jpg", dpi=(50_800, 50_800))
    image = open_image(path)
    assert image.mpp == pytest.approx(0.5, rel=1e-3)
    assert image.mpp_source == "file"


def test_pixels_that_are_not_square_have_no_scale_and_it_is_said(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (8, 8)), tmp_path / "flat.png", dpi=(50_800, 101_600))
    image = open_image(path)
    assert image.mpp is None
    assert image.notes == ("its pixels are 0.5 x 0.25 um, not square: the scale was not taken",)


def test_corrupt_exif_does_not_warn(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    path = tmp_path / "odd.jpg"
    path.write_bytes(buffer.getvalue())
    assert open_image(path).rgb.shape == (8, 8, 3)
