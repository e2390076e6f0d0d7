from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_nunext.core.geometry import Box
from napari_nunext.models.segmenter import Prompt
from napari_nunext.models.whole_image.one_piece import piece_at

PICTURE = """
..........
.###..##..
.#.#..##..
.###..##..
......##..
#.........
"""


@pytest.fixture
def mask() -> np.ndarray:
    return np.array([[c == "#" for c in line] for line in PICTURE.split()])


def clicks(*points_xy: tuple[float, float], beside: tuple[tuple[float, float], ...] = ()) -> Prompt:
    points = np.array([*points_xy, *beside], dtype=float).reshape(-1, 2)
    return Prompt(points, (True,) * len(points_xy) + (False,) * len(beside))


def drawn(mask: np.ndarray, prompt: Prompt) -> str:
    """The piece as a picture like the one above."""
    piece = piece_at(mask, prompt)
    image = np.full(mask.shape, ".")
    rows, columns = np.nonzero(piece.to_array())
    image[rows + piece.y0_px, columns + piece.x0_px] = "#"
    return "\n".join("".join(row) for row in image)


def test_the_piece_that_was_clicked_on_stays_with_its_hole_filled(mask: np.ndarray) -> None:
    expected = "..........\n.###......\n.###......\n.###......\n..........\n.........."
    assert drawn(mask, clicks((1.5, 1.5))) == expected


def test_a_click_in_a_hole_or_beside_a_piece_means_the_nearest(mask: np.ndarray) -> None:
    ring = drawn(mask, clicks((1.5, 1.5)))
    assert drawn(mask, clicks((2.5, 2.5))) == ring
    assert drawn(mask, clicks((4.8, 2.5))) == ring
    block = drawn(mask, clicks((6.5, 1.5)))
    assert drawn(mask, clicks((5.2, 2.5))) == drawn(mask, clicks((9.0, 5.9))) == block
    assert ring != block


def test_a_hole_that_was_clicked_on_as_not_the_nucleus_stays_open(mask: np.ndarray) -> None:
    opened = drawn(mask, clicks((1.5, 1.5), beside=((2.5, 2.5), (8.5, 0.5))))
    assert opened == "..........\n.###......\n.#.#......\n.###......\n..........\n.........."


def test_pieces_that_were_both_clicked_on_both_stay(mask: np.ndarray) -> None:
    both = piece_at(mask, clicks((1.5, 1.5), (6.5, 4.5)))
    assert both.area_px == 9 + 8


def test_a_box_alone_means_the_largest_piece(mask: np.ndarray) -> None:
    prompt = Prompt(np.empty((0, 2)), (), Box(0, 0, 10, 6))
    assert drawn(mask, prompt) == drawn(mask, clicks((1.5, 1.5)))


def test_nothing_stays_nothing() -> None:
    assert piece_at(np.zeros((4, 5), dtype=bool), clicks((1.0, 1.0))).area_px == 0


@given(seed=st.integers(0, 999), x=st.floats(0, 12), y=st.floats(0, 9))
def test_a_piece_is_one_and_without_holes_and_no_other_is_nearer(
    seed: int, x: float, y: float
) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) > 0.6
    piece = piece_at(mask, clicks((x, y)))
    whole = np.zeros_like(mask)
    whole[
        piece.y0_px : piece.y0_px + piece.height_px, piece.x0_px : piece.x0_px + piece.width_px
    ] = piece.to_array()
    assert ndimage.label(whole)[1] == 1
    np.testing.assert_array_equal(ndimage.binary_fill_holes(whole & mask), whole)
    column, row = min(int(x), 11), min(int(y), 8)
    if mask[row, column]:
        assert whole[row, column]
        return
    rows, columns = np.nonzero(mask)
    away = np.hypot(columns + 0.5 - x, rows + 0.5 - y)
    kept = whole[rows, columns]
    assert away[kept].min() == pytest.approx(away.min())
