from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.geometry import Box
from napari_nunext.core.image import tissue
from napari_nunext.core.image.tissue import (
    CELL_PX,
    MARGIN_UM,
    PIXEL_UM,
    tissue_of,
    windows_of_glass,
)
from napari_nunext.core.tiling import WindowGrid, plan_grid
from napari_nunext.images import read_window
from napari_nunext.synthetic import SynthesisOptions, synthesise

if TYPE_CHECKING:
    from numpy.typing import NDArray

GLASS = (242, 242, 240)
EOSIN, PALE_EOSIN = (220, 160, 190), (238, 216, 229)
HAEMATOXYLIN, BROWN, BLUE = (110, 80, 150), (150, 110, 80), (170, 180, 205)
BLACK_PEN, GREEN_PEN, SHADOW = (28, 27, 29), (40, 150, 90), (190, 190, 189)


def slide(side_px: int = 256, color: tuple[int, int, int] = GLASS) -> NDArray[np.float64]:
    return np.full((side_px, side_px, 3), color, dtype=np.float64)


def scanned(colors: NDArray[np.float64], noise: float = 1.0) -> NDArray[np.uint8]:
    noisy = colors + np.random.default_rng(0).normal(0, noise, colors.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def disc(x: float, y: float, radius: float, side_px: int = 256) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:side_px, :side_px] + 0.5
    inside: NDArray[np.bool_] = np.hypot(columns - x, rows - y) < radius
    return inside


@pytest.mark.parametrize(
    "glass", [GLASS, (255, 255, 255), (225, 225, 222), (236, 240, 246)], ids=str
)
def test_an_empty_slide_has_no_tissue(glass: tuple[int, int, int]) -> None:
    assert not tissue_of(scanned(slide(color=glass))).any()


@pytest.mark.parametrize(
    "stain", [EOSIN, PALE_EOSIN, HAEMATOXYLIN, BROWN, BLUE], ids=["eosin", "pale", "h", "dab", "b"]
)
def test_what_is_stained_is_tissue_and_the_glass_around_it_is_not(
    stain: tuple[int, int, int],
) -> None:
    colors, drawn = slide(), disc(100, 120, 60)
    colors[drawn] = stain
    found = tissue_of(scanned(colors))
    assert found[disc(100, 120, 58)].all()
    assert not found[~disc(100, 120, 64)].any()


def test_a_cell_alone_on_the_glass_is_tissue() -> None:
    colors = slide()
    colors[77, 130] = HAEMATOXYLIN
    assert tissue_of(scanned(colors))[77, 130]


def test_the_walls_of_fat_are_tissue() -> None:
    colors = slide()
    walls = np.zeros((256, 256), dtype=bool)
    walls[50:200:9, 50:200] = walls[50:200, 50:200:9] = True
    colors[walls] = (236, 208, 222)
    found = tissue_of(scanned(colors))
    assert found[walls].mean() > 0.95
    assert not found[:40].any()


@pytest.mark.parametrize("mark", [BLACK_PEN, GREEN_PEN, SHADOW], ids=["black", "green", "shadow"])
def test_pen_and_shadow_hide_no_tissue_and_make_none_of_glass(mark: tuple[int, int, int]) -> None:
    colors, drawn = slide(), disc(60, 60, 30)
    colors[drawn] = PALE_EOSIN
    alone = tissue_of(scanned(colors))
    colors[120:220] = mark
    found = tissue_of(scanned(colors))
    rest = np.r_[:119, 221:256]
    np.testing.assert_array_equal(found[rest], alone[rest])
    assert found[disc(60, 60, 28)].all()
    assert found[121:219].all(), "in doubt it counts as tissue"


def test_a_dark_border_makes_no_tissue_of_the_glass_within() -> None:
    colors = slide(color=(6, 5, 4))
    colors[30:-30, 30:-30] = GLASS
    colors[disc(128, 128, 40)] = EOSIN
    found = tissue_of(scanned(colors))
    assert found[disc(128, 128, 38)].all()
    assert not found[34:-34, 34:-34][~disc(128, 128, 44)[34:-34, 34:-34]].any()


@pytest.mark.parametrize("color", [EOSIN, PALE_EOSIN, BLUE], ids=str)
def test_where_no_glass_is_to_be_seen_the_palest_tissue_is_not_taken_for_it(
    color: tuple[int, int, int],
) -> None:
    assert tissue_of(scanned(slide(color=color))).mean() > 0.999


def test_nothing_of_fluorescence_is_left_out() -> None:
    rgb = np.full((900, 900, 3), 7, dtype=np.uint8)
    rgb[::100, ::100] = rgb[400:460, 400:460] = 250
    image = Slide(rgb)
    assert not windows_of_glass(image, image.box, windows_on(image, image.box, 0.5), mpp=0.5)


def test_without_colour_what_is_dark_is_tissue() -> None:
    grey = np.full((64, 64, 3), 240, dtype=np.uint8)
    grey[20:40, 20:40] = 180
    found = tissue_of(grey)
    assert found[20:40, 20:40].all()
    assert not found[:15].any()


class Slide:
    """Pixels in memory, and how they were read."""

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        self.rgb = rgb
        self.box = Box.of_image(*rgb.shape[1::-1])
        self.read: list[int] = []

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        self.read.append(out_px)
        return read_window(self.rgb, box, out_px)


def windows_on(image: Slide, region: Box, mpp: float, window_px: int = 64) -> WindowGrid:
    return plan_grid(
        region, image.box, window_px=window_px, window_mpp=0.5, halo_um=4.0, image_mpp=mpp
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    mpp=st.sampled_from([0.5, 1.0, 2.3]),
    part=st.booleans(),
    count=st.integers(0, 3),
)
def test_windows_with_tissue_or_close_to_it_stay_and_those_far_from_it_go(
    seed: int, mpp: float, part: bool, count: int
) -> None:
    rng = np.random.default_rng(seed)
    side = int(rng.integers(200, 600))
    drawn = np.zeros((side, side), dtype=bool)
    for _ in range(count):
        x, y = rng.uniform(0, side, 2)
        drawn |= disc(x, y, rng.uniform(12, 24) / mpp, side)
    colors = slide(side)
    colors[drawn] = EOSIN
    image = Slide(scanned(colors))
    x0, y0 = rng.uniform(0, side / 2, 2)
    region = Box(x0, y0, x0 + rng.uniform(1, side), y0 + rng.uniform(1, side))
    region = region.clipped_to(image.box) if part else image.box
    windows = windows_on(image, region, mpp)
    glass = windows_of_glass(image, region, windows, mpp=mpp)
    rows, columns = np.nonzero(drawn)
    for window in windows:
        core = window.core
        dx = np.maximum(np.maximum(core.x0 - columns - 0.5, columns + 0.5 - core.x1), 0)
        dy = np.maximum(np.maximum(core.y0 - rows - 0.5, rows + 0.5 - core.y1), 0)
        away_um = float(np.maximum(dx, dy).min(initial=np.inf)) * mpp
        if away_um <= MARGIN_UM - PIXEL_UM:
            assert window.index not in glass
        elif away_um > MARGIN_UM + 3 * CELL_PX * PIXEL_UM:
            assert window.index in glass


def test_a_slide_is_read_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    colors = slide(1100)[:700]
    colors[disc(1050, 90, 28, 1100)[:700]] = EOSIN
    image = Slide(scanned(colors))
    windows = windows_on(image, image.box, 4.0, window_px=400)
    by_block = windows_of_glass(image, image.box, windows, mpp=4.0)
    assert image.read[:-1] == [512] * 6
    assert len(windows) / 2 < len(by_block) < len(windows)
    monkeypatch.setattr(tissue, "BLOCK_CELLS", 1000)
    assert windows_of_glass(image, image.box, windows, mpp=4.0) == by_block


def test_the_white_beyond_an_image_is_not_its_glass() -> None:
    glass = (212, 212, 210)
    image = Slide(scanned(slide(600, glass)[:90]))
    windows = windows_on(image, image.box, 1.0)
    assert len(windows_of_glass(image, image.box, windows, mpp=1.0)) == len(windows)


@pytest.mark.parametrize("stain", ["he", "ihc"])
@pytest.mark.parametrize("seed", range(4))
def test_no_nucleus_of_drawn_tissue_lies_in_a_window_that_is_left_out(
    stain: Literal["he", "ihc"], seed: int
) -> None:
    rng, options = np.random.default_rng(seed), SynthesisOptions(stain=stain)
    tile = synthesise(rng, width_px=300, height_px=300, mpp=0.5, options=options)
    rgb = scanned(slide(1100))
    rgb[350:650, 400:700] = tile.rgb
    image = Slide(rgb)
    windows = windows_on(image, image.box, 0.5, window_px=128)
    glass = windows_of_glass(image, image.box, windows, mpp=0.5)
    held = windows.holding(tile.points_xy + np.array((400, 350)))
    assert not glass & set(held.tolist())
    assert len(glass) > len(windows) / 3
    alone = Slide(tile.rgb)
    windows = windows_on(alone, alone.box, 0.5)
    assert not windows_of_glass(alone, alone.box, windows, mpp=0.5)
