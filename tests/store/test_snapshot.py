"""A picture: the image's own pixels, nuclei at their places, and a bar of the right length."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageFont

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.window import read_window
from napari_nunext.store import ReviewedNucleus
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.snapshot import bar_um, bar_words, snapshot, write_snapshot
from tests.store.conftest import entry, predicted

RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)
CATEGORIES = [Category("Tumour", RED), Category("Stroma", BLUE)]


@dataclass
class Plain:
    """A grey image."""

    width: int = 4096
    height: int = 3072

    @property
    def box(self):
        return Box(0, 0, self.width, self.height)

    def read_window(self, box, out_px):
        rgb = np.full((64, 64, 3), GREY, np.uint8)
        return read_window(rgb, Box(10, 10, 50, 50), out_px)


def image(*nuclei, source=None, **more):
    source = source or Plain()
    return ImageNuclei(entry(width_px=source.width, height_px=source.height, **more), nuclei)


def places(pixels, color):
    """Where a colour is, (x, y) of its middle and its extent in px."""
    rows, columns = np.nonzero((pixels == color).all(axis=2))
    return (columns.mean() + 0.5, rows.mean() + 0.5), np.ptp(columns) + 1, np.ptp(rows) + 1


def bar_of(pixels):
    """Length of the lowest black bar, px."""
    black = (pixels == 0).all(axis=2)
    return max(int(row.sum()) for row in black[-len(black) // 8 :])


def test_nuclei_lie_where_they_are_in_the_colour_of_their_category():
    nuclei = [
        predicted(1024, 512, "Tumour"),
        predicted(3000, 1000, "Stroma"),
        ReviewedNucleus(predicted(2000, 2000, "Tumour"), status="rejected"),
    ]
    pixels = snapshot(Plain(), image(*nuclei), CATEGORIES)
    assert pixels.shape == (1536, 2048, 3)
    for color, x, y in ((RED, 512, 256), (BLUE, 1500, 500)):
        at, wide, tall = places(pixels, color)
        assert at == pytest.approx((x, y), abs=0.6)
        assert 3 <= wide <= 6
        assert 3 <= tall <= 6


def test_a_small_view_is_made_larger_and_shows_outlines():
    y, x = np.mgrid[-10:11, -10:11]
    mask = Mask.from_array(x**2 + y**2 <= 100, 490, 490)
    outlined = replace(predicted(500.5, 500.5, "Tumour"), mask=mask)
    view = Box(450, 450, 550, 550)
    pixels = snapshot(
        Plain(), image(outlined, predicted(100, 100, "Stroma")), CATEGORIES, view=view
    )
    assert pixels.shape == (800, 800, 3)
    at, wide, tall = places(pixels, RED)
    assert at == pytest.approx((404, 404), abs=1)  # eight times (500.5 - 450)
    assert wide == pytest.approx(168, abs=3)
    assert tall == pytest.approx(168, abs=3)
    assert tuple(pixels[404, 404]) == GREY  # a line, nothing painted over the nucleus
    assert not (pixels == BLUE).all(axis=2).any()


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.37])
@pytest.mark.parametrize("view", [None, Box(0, 0, 300, 200), Box(-50, -20, 900, 700)])
def test_the_bar_is_as_long_as_it_says(mpp, view):
    pixels = snapshot(Plain(), image(mpp=mpp), CATEGORIES, view=view)
    shown = (view or Plain().box).clipped_to(Plain().box)
    um_a_px = shown.width * mpp / pixels.shape[1]
    said_um = bar_um(pixels.shape[1] / 4 * um_a_px)
    assert bar_of(pixels) == pytest.approx(said_um / um_a_px, abs=1)
    assert pixels.shape[1] / 11 < bar_of(pixels) <= pixels.shape[1] / 4 + 1


def test_a_bar_says_round_lengths():
    assert [bar_um(most) for most in (0.7, 1, 4.9, 99, 1999, 5000)] == [0.5, 1, 2, 50, 1000, 5000]
    assert [bar_words(um) for um in (0.5, 20, 2000)] == ["500 nm", "20 um", "2 mm"]


def test_the_font_has_every_letter_of_the_bar():
    font = ImageFont.load_default(size=20)
    missing = bytes(font.getmask("\uffff"))
    words = "".join(bar_words(um) for um in (0.5, 20, 2000)) + " (scale assumed)0123456789."
    assert [c for c in words if bytes(font.getmask(c)) == missing] == []


def test_the_file_is_pixels_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    write_snapshot(path, Plain(), image(predicted(1, 1)), CATEGORIES)
    with Image.open(path) as picture:
        assert (picture.mode, picture.size, picture.info) == ("RGB", (2048, 1536), {})
    with pytest.raises(InputError, match="shows nothing of the image"):
        snapshot(Plain(), image(), CATEGORIES, view=Box(-50, 0, -10, 40))
