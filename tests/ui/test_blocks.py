"""What of a slide is shown before it was read, what is read first, and when reading ends."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import ImageError
from napari_nunext.images import open_image
from napari_nunext.images.slides import tiff as tiff_module
from napari_nunext.ui.canvas.image import blocks as blocks_module
from napari_nunext.ui.canvas.image.blocks import FAILED_WORDS, NOT_THERE, SIDE_PX, Blocks
from napari_nunext.ui.canvas.image.pyramid import Pyramid
from tests.images.slides.marked import drawing
from tests.images.slides.test_tiff_slides import spoil, write_svs
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FACTORS = (1.0, 2.0, 4.0, 8.0)
SIDES_PX = (8 * SIDE_PX, 4 * SIDE_PX, 2 * SIDE_PX, SIDE_PX)


class Levels:
    """A slide whose storage answers when it is told to."""

    def __init__(self, own: int = len(FACTORS), count: int = len(FACTORS)) -> None:
        self.rgb = [
            np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8)
            for side in SIDES_PX[:count]
        ]
        self.read: list[tuple[int, int, int]] = []
        """Level, row and column of the blocks, as they were asked for."""
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None
        self.heard: list[str] = []
        self.blocks = Blocks(
            Pyramid(tuple(_Level(self, n) for n in range(count)), FACTORS[:count], own),  # type: ignore[misc]
            lambda: None,
            self.heard.append,
        )

    def answer(self, reads: int = 1000) -> None:
        self.gate.release(reads)

    def settle(self) -> None:
        wait_for(lambda: not self.blocks.is_reading)


class _Level:
    def __init__(self, levels: Levels, number: int) -> None:
        self._levels = levels
        self._number = number
        self.shape = levels.rgb[number].shape

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        levels = self._levels
        levels.read.append((self._number, key[0].start // SIDE_PX, key[1].start // SIDE_PX))
        levels.gate.acquire()
        if levels.error is not None:
            raise levels.error
        return levels.rgb[self._number][key]


@pytest.fixture
def levels() -> Iterator[Levels]:
    made = Levels()
    yield made
    made.blocks.close()
    made.answer()
    made.settle()


def test_nothing_waits_for_the_disk_and_coarse_pixels_lie_under_the_fine_ones(
    levels: Levels,
) -> None:
    blocks = levels.blocks
    assert (blocks.shown(0, 0, 0, 700, 600) == NOT_THERE).all()
    levels.answer(1)
    wait_for(lambda: blocks.has_coarsest)
    x0, y0, x1, y1 = 1003, 517, 1700, 1200
    rows, columns = np.arange(y0, y1), np.arange(x0, x1)
    under = levels.rgb[3][rows[:, None] // 8, columns // 8]
    np.testing.assert_array_equal(blocks.shown(0, x0, y0, x1, y1), under)
    levels.answer()
    levels.settle()
    np.testing.assert_array_equal(blocks.shown(0, x0, y0, x1, y1), levels.rgb[0][y0:y1, x0:x1])
    assert not blocks.is_reading  # all of it is there


def test_what_is_there_of_a_finer_level_is_shown_before_the_coarsest(levels: Levels) -> None:
    levels.answer()
    levels.blocks.shown(2, 0, 0, 700, 700)
    levels.settle()
    rows, columns = np.arange(300), np.arange(500)
    under = levels.rgb[2][rows[:, None] // 4, columns // 4]
    np.testing.assert_array_equal(levels.blocks.shown(0, 0, 0, 500, 300), under)


def test_coarse_levels_are_read_first_and_then_the_middle_of_what_is_in_view(
    levels: Levels,
) -> None:
    levels.blocks.shown(0, 0, 0, 5 * SIDE_PX, 5 * SIDE_PX)
    levels.answer()
    levels.settle()
    coarsest, *_ = levels.read
    assert coarsest == (3, 0, 0)
    ahead = [block for block in levels.read if block[0] == 2]
    fine = [block for block in levels.read if block[0] == 0]
    assert set(ahead) == {(2, row, column) for row in (0, 1) for column in (0, 1)}
    assert max(map(levels.read.index, ahead)) <= 1 + min(map(levels.read.index, fine))
    distances = [math.dist(block[1:], (2, 2)) for block in fine]
    assert len(fine) == 25
    assert all(now <= later + 1.01 for now, later in zip(distances, distances[2:], strict=False))
    assert distances[0] == 0


def test_what_is_out_of_view_again_is_not_read(levels: Levels) -> None:
    levels.blocks.shown(0, 0, 0, 4 * SIDE_PX, 4 * SIDE_PX)
    wait_for(lambda: len(levels.read) == 2)  # as many as there are threads
    levels.blocks.shown(1, 0, 0, 10, 10)
    levels.answer()
    levels.settle()
    assert len(levels.read) == 3
    assert levels.read[-1] == (1, 0, 0)


def test_more_than_can_be_kept_is_fine_in_its_middle_and_comes_to_rest(
    levels: Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "MOST_BLOCKS", 4)
    levels.answer()
    side = 6 * SIDE_PX
    levels.blocks.shown(0, 0, 0, side, side)
    levels.settle()
    assert {block for block in levels.read if block[0] == 0} == {
        (0, row, column) for row in (2, 3) for column in (2, 3)
    }
    shown = levels.blocks.shown(0, 0, 0, side, side)
    assert not levels.blocks.is_reading
    inner = slice(2 * SIDE_PX, 4 * SIDE_PX)
    np.testing.assert_array_equal(shown[inner, inner], levels.rgb[0][inner, inner])


def test_threads_end_when_all_is_read_and_when_it_is_closed(levels: Levels) -> None:
    levels.blocks.shown(0, 0, 0, 4 * SIDE_PX, 4 * SIDE_PX)
    wait_for(lambda: len(levels.read) == 2)
    levels.blocks.close()
    levels.answer(2)
    levels.settle()
    assert len(levels.read) == 2
    levels.answer(1)
    shown = levels.blocks.shown(0, 0, 0, 10, 10)  # as a copy of the layer would have it
    np.testing.assert_array_equal(shown, levels.rgb[0][:10, :10])
    levels.error = ImageError("a.svs cannot be read now.")
    levels.answer(1)
    coarse = levels.rgb[3][:2, :2].repeat(8, axis=0).repeat(8, axis=1)[:10, :10]
    np.testing.assert_array_equal(levels.blocks.shown(0, 0, 0, 10, 10), coarse)
    assert not levels.blocks.is_reading


def test_a_coarsest_level_that_is_made_waits_for_what_is_in_view_and_takes_one_thread() -> None:
    levels = Levels(own=2)
    wait_for(lambda: len(levels.read) == 1)
    levels.blocks.shown(0, 0, 0, 2 * SIDE_PX, 2 * SIDE_PX)
    levels.answer()
    levels.settle()
    assert levels.read[0] == (3, 0, 0)
    assert {block[0] for block in levels.read[1:]} == {0}  # nothing made is read ahead
    levels.blocks.close()

    larger = Levels(own=1, count=3)  # four blocks
    larger.blocks.shown(0, 0, 0, SIDE_PX, SIDE_PX)
    wait_for(lambda: len(larger.read) == 2)
    assert sorted(larger.read) == [(0, 0, 0), (2, 0, 0)]
    larger.answer(2)  # to both, or to one twice: whoever comes first
    wait_for(lambda: len(larger.read) >= 3)
    assert {block[0] for block in larger.read[2:]} == {2}
    larger.blocks.close()
    larger.answer()
    larger.settle()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImageError("a.svs cannot be read now."), "a.svs cannot be read now."),
        (ZeroDivisionError(), FAILED_WORDS),
    ],
)
def test_a_drive_that_is_away_is_told_and_asked_again(
    levels: Levels, error: Exception, words: str
) -> None:
    levels.answer(1)
    wait_for(lambda: levels.blocks.has_coarsest)
    levels.error = error
    levels.blocks.shown(0, 0, 0, 4 * SIDE_PX, 4 * SIDE_PX)
    levels.answer()
    levels.settle()
    assert set(levels.heard) == {words}
    assert len(levels.heard) <= 2
    levels.error = None
    levels.blocks.shown(0, 0, 0, 10, 10)
    levels.settle()
    np.testing.assert_array_equal(levels.blocks.shown(0, 0, 0, 10, 10), levels.rgb[0][:10, :10])


def test_what_is_damaged_is_white_and_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = drawing()
    path = write_svs(tmp_path / "slide.svs", rgb, 0.25)
    spoil(path, 0, 8)
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)
    slide, heard = open_image(path), []
    blocks = Blocks(Pyramid.of(slide), lambda: None, heard.append)
    width, height = slide.sizes_px[0]
    blocks.shown(0, 0, 0, width, height)
    wait_for(lambda: not blocks.is_reading)
    shown = blocks.shown(0, 0, 0, width, height)
    assert not blocks.is_reading
    assert heard == []
    assert (shown[320:450, 580:700] == 255).all()
    far = np.ones(shown.shape[:2], bool)
    far[256 - 64 : 512 + 64, 512 - 64 : 768 + 64] = False
    assert np.abs(shown[far].astype(int) - rgb[far]).mean() < 2  # JPEG
