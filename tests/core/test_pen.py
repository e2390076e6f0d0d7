"""Marks of a pen are told from tissue by colour, and tissue is not taken for pen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.image.pen import pen_of
from napari_nunext.core.image.tissue import (
    CELL_PX,
    OUTLINE_UM,
    tissue_pieces,
    windows_of_glass,
)
from napari_nunext.core.process.asked import PEN_WITHOUT_TISSUE, Search, check_pen
from napari_nunext.core.shapes.regions import area_px, inside
from napari_nunext.core.shapes.tracing import pieces_of
from napari_nunext.images import read_window
from napari_nunext.synthetic import SynthesisOptions, synthesise
from tests.core.test_tissue import (
    BLACK_PEN,
    BLUE,
    BROWN,
    EOSIN,
    GLASS,
    GREEN_PEN,
    HAEMATOXYLIN,
    PALE_EOSIN,
    SHADOW,
    Slide,
    disc,
    scanned,
    slide,
    windows_on,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLUE_PEN, PALE_BLUE_PEN, RED_PEN = (35, 60, 150), (90, 130, 200), (190, 50, 70)
TISSUE = {"eosin": EOSIN, "pale": PALE_EOSIN, "h": HAEMATOXYLIN, "dab": BROWN, "b": BLUE}


def stroke(colors: NDArray[np.float64], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    """A stroke across, blurred at its edges as a lens blurs what lies on the cover glass."""
    side = len(colors)
    away = np.abs(np.arange(side) - side * 0.75)[:, None] * np.ones(side)
    part = np.clip((side * 0.06 + 1.5 - away) / 3, 0, 1)[..., None]
    colors[:] = colors * (1 - part) + np.array(color) * part
    drawn: NDArray[np.bool_] = part[..., 0] > 0
    return drawn


@pytest.mark.parametrize(
    "ink", [GREEN_PEN, BLUE_PEN, PALE_BLUE_PEN, BLACK_PEN], ids=["green", "blue", "pale", "black"]
)
def test_ink_is_found_to_its_edges_and_the_tissue_beside_it_is_not(
    ink: tuple[int, int, int],
) -> None:
    colors = slide()
    tissue = disc(100, 90, 60)
    colors[tissue] = EOSIN
    drawn = stroke(colors, ink)
    found = pen_of(scanned(colors))
    assert found[drawn].mean() > 0.85
    assert not found[tissue].any()


@pytest.mark.parametrize("mark", [RED_PEN, SHADOW], ids=["red", "shadow"])
def test_what_looks_like_a_stain_or_a_shadow_remains(mark: tuple[int, int, int]) -> None:
    colors = slide()
    stroke(colors, mark)
    assert not pen_of(scanned(colors)).any()


@pytest.mark.parametrize("stain", TISSUE.values(), ids=TISSUE)
def test_no_stain_is_taken_for_ink(stain: tuple[int, int, int]) -> None:
    assert not pen_of(scanned(slide(color=stain), noise=4.0)).any()


@pytest.mark.parametrize("stain", ["he", "ihc"])
def test_nothing_of_drawn_tissue_is_taken_for_ink(stain: Literal["he", "ihc"]) -> None:
    options = SynthesisOptions(stain=stain)
    tile = synthesise(
        np.random.default_rng(0), width_px=800, height_px=800, mpp=0.5, options=options
    )
    assert not pen_of(read_window(tile.rgb, Box(0, 0, 800, 800), 100)).any()


def test_a_dark_nucleus_is_no_stroke() -> None:
    colors = slide()
    colors[disc(50, 50, 2)] = BLACK_PEN
    assert not pen_of(scanned(colors)).any()


def test_windows_of_ink_are_left_out_only_where_that_is_wished() -> None:
    colors = slide(600)
    colors[disc(150, 150, 60, 600)] = EOSIN
    stroke(colors, GREEN_PEN)
    image = Slide(scanned(colors))
    windows = windows_on(image, image.box, 4.0, window_px=200)
    searched = windows_of_glass(image, image.box, windows, mpp=4.0)
    without_pen = windows_of_glass(image, image.box, windows, mpp=4.0, pen=True)
    at_stroke = windows.holding(np.array([(100.0, 450.0), (500.0, 450.0)]))
    assert not searched & set(at_stroke.tolist())
    assert set(at_stroke.tolist()) < without_pen
    assert windows.holding(np.array([(150.0, 150.0)]))[0] not in without_pen


def test_tissue_is_outlined_with_its_holes_and_without_ink_and_specks() -> None:
    colors = slide(600)
    tissue = disc(180, 180, 120, 600) & ~disc(200, 180, 60, 600)
    tissue |= disc(450, 120, 40, 600)
    colors[tissue] = EOSIN
    colors[disc(560, 300, 4, 600)] = EOSIN  # a speck of some 800 um2
    stroke(colors, GREEN_PEN)
    image = Slide(scanned(colors))
    mpp = 4.0
    pieces = tissue_pieces(image, mpp=mpp)
    assert len(pieces) == 2
    rows, columns = np.nonzero(tissue)
    places = np.stack((columns, rows), axis=1) + 0.5
    assert (inside(places, pieces[0]) | inside(places, pieces[1])).all()
    hole, glass = np.array([(200.0, 180.0)]), np.array([(300.0, 450.0), (560.0, 300.0)])
    for piece in pieces:
        assert not inside(np.concatenate((hole, glass)), piece).any()
    margin = OUTLINE_UM / mpp
    for piece, (outer, hole_px) in zip(pieces, ((120, 60), (40, 0)), strict=True):
        least, most = (
            np.pi * ((outer + grown) ** 2 - max(hole_px - grown, 0) ** 2)
            for grown in (0.8 * margin, margin + 3 * CELL_PX)
        )
        assert least < area_px(piece) < most
    with_pen = tissue_pieces(image, mpp=mpp, pen=False)
    assert len(with_pen) == 3


def test_an_empty_slide_has_no_piece_of_tissue() -> None:
    image = Slide(scanned(slide(color=GLASS)))
    assert tissue_pieces(image, mpp=4.0) == []


@pytest.mark.parametrize("seed", range(5))
def test_lines_round_cells_hold_the_cells_and_no_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((12, 15)) < 0.6
    rows, columns = np.mgrid[:12, :15] + 0.5
    centres = np.stack((columns.ravel(), rows.ravel()), axis=1)
    held = np.zeros(len(centres), dtype=int)
    for piece in pieces_of(mask):
        held += inside(centres, piece.outer_xy)
        for hole in piece.holes_xy:
            held -= inside(centres, hole)
    np.testing.assert_array_equal(held.reshape(mask.shape), mask)


@pytest.mark.parametrize("ask", [check_pen, Search])
def test_ink_is_left_out_where_glass_is(ask):
    ask(tissue=True, pen=True)
    ask(tissue=False, pen=False)
    with pytest.raises(InputError) as refused:
        ask(tissue=False, pen=True)
    assert str(refused.value) == PEN_WITHOUT_TISSUE
