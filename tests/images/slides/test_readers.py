"""Handles that break, drives that go away, and the memory that slides share."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import DamagedRegionError, ImageError
from napari_nunext.core.geometry import Box
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images.slides import readers
from napari_nunext.images.slides.reader import Level, SlideHeader, factor_of, sampled
from napari_nunext.images.slides.slide import slide_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.images.slides.slide import Slide

TILE = 64
HEADER = SlideHeader((Level(640, 640, TILE, TILE, 1.0),), 0.25, ())


class FakeReader:
    """A slide of grey tiles; a handle that fails once fails for ever, as OpenSlide's do."""

    def __init__(self, file: FakeFile) -> None:
        self._file = file
        self._failed = False
        self.header = file.header
        file.opened += 1

    def read_tile(self, level: int, column: int, row: int) -> np.ndarray:
        self._file.reads += 1
        self._file.pause()
        if not self._file.is_connected:
            raise OSError(5, "Input/output error")
        if self._failed or (column, row) == self._file.damaged:
            self._failed = True
            raise RuntimeError("the handle is broken")
        return np.full((TILE, TILE, 3), 10 * row + column, np.uint8)

    def canonical(self) -> Iterator[bytes]:
        yield b"fake"


class FakeFile:
    def __init__(self) -> None:
        self.opened = self.reads = 0
        self.header = HEADER
        self.damaged: tuple[int, int] | None = None
        self.is_connected = True
        self.pause: Callable[[], object] = lambda: None

    def slide(self) -> Slide:
        return slide_of(Path("a.fake"), lambda: FakeReader(self))


@pytest.fixture
def file() -> FakeFile:
    return FakeFile()


def tile_box(column: int, row: int) -> Box:
    return Box(column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE)


def test_a_handle_that_broke_is_opened_anew_and_only_the_damaged_tile_is_lost(
    file: FakeFile,
) -> None:
    slide, file.damaged = file.slide(), (3, 3)
    for _ in range(2):
        with pytest.raises(DamagedRegionError) as found:
            slide.read_region(Box(150, 150, 200, 200))
        assert found.value.box == tile_box(3, 3).as_tuple()
        assert slide.read_region(tile_box(2, 1))[0, 0, 0] == 12


def test_a_handle_that_another_thread_broke_spoils_nobody_elses_tile(file: FakeFile) -> None:
    """The other is reading a good tile while a damaged one breaks the handle that both have."""
    slide, file.damaged = file.slide(), (0, 0)
    arrived, broken = threading.Event(), threading.Event()
    seen: list[int] = []

    def wait_until_broken() -> None:
        if threading.current_thread() is other and not broken.is_set():
            arrived.set()
            assert broken.wait(timeout=60)

    other = threading.Thread(
        target=lambda: seen.append(int(slide.read_region(tile_box(5, 5))[0, 0, 0]))
    )
    file.pause = wait_until_broken
    other.start()
    assert arrived.wait(timeout=60)
    with pytest.raises(DamagedRegionError):
        slide.read_region(tile_box(0, 0))
    broken.set()
    other.join()
    assert seen == [55]


def test_a_drive_that_went_away_and_came_back_is_read_again(file: FakeFile) -> None:
    slide = file.slide()
    file.is_connected = False
    with pytest.raises(ImageError, match=r"a\.fake cannot be read now .*drive") as found:
        slide.read_region(tile_box(1, 1))
    assert not isinstance(found.value, DamagedRegionError)
    file.is_connected = True
    assert slide.read_region(tile_box(1, 1))[0, 0, 0] == 11


def test_a_file_that_another_replaced_is_not_read_as_the_first(file: FakeFile) -> None:
    slide = file.slide()
    file.header = SlideHeader((Level(128, 128, TILE, TILE, 1.0),), 0.25, ())
    readers.READERS.drop(slide._file._number)
    with pytest.raises(ImageError, match=r"a\.fake has changed since it was opened"):
        slide.read_region(tile_box(1, 1))


def test_tiles_are_decoded_once_as_long_as_they_fit(
    file: FakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: BoundedCache[tuple[int, ...], np.ndarray] = BoundedCache(
        3 * TILE * TILE * 3, lambda tile: tile.nbytes
    )
    monkeypatch.setattr(readers, "TILES", cache)
    slide = file.slide()
    first = slide.read_region(tile_box(0, 0))
    assert not first.flags.writeable
    slide.read_region(tile_box(0, 0))
    assert file.reads == 1
    slide.read_region(Box(0, 0, 640, 640))
    assert cache.size_bytes <= cache.capacity_bytes
    assert file.reads == 100  # the first was still there


def test_few_files_are_open_however_many_slides_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = readers.OpenReaders(3)
    monkeypatch.setattr(readers, "READERS", pool)
    files = [FakeFile() for _ in range(10)]
    slides = [file.slide() for file in files]
    assert len(pool) == 3
    for slide in slides:
        slide.read_region(tile_box(0, 0))
    assert len(pool) == 3
    assert [file.opened for file in files] == [2] * 10
    del slide
    slides.clear()
    gc.collect()
    assert len(pool) == 0  # so that files can be moved


@pytest.mark.parametrize(
    ("sizes", "factors"),
    [
        ([(100_000, 100_000), (50_000, 50_000), (195, 195)], [1, 2, 512]),
        ([(1531, 1187), (382, 296), (95, 74)], [1, 4, 16]),
        ([(1531, 1187), (383, 297)], [1, 4]),  # rounded up
        ([(2000, 3000), (667, 1000)], [1, 3]),
        ([(2000, 3000), (800, 1200)], [1, 2.5]),
        ([(1, 1)], [1]),
    ],
)
def test_levels_that_were_rounded_have_whole_factors(
    sizes: list[tuple[int, int]], factors: list[float]
) -> None:
    assert [factor_of(sizes, level) for level in range(len(sizes))] == pytest.approx(factors)


def test_a_sample_has_each_tile_of_a_small_level_once_and_few_of_a_large_one() -> None:
    small = list(sampled(Level(130, 70, 64, 64, 1.0)))
    assert small == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    large = list(sampled(Level(100_000, 100_000, 512, 512, 1.0)))
    assert len(large) == 32
    assert large[0] == (0, 0)
    assert large[-1] == (195, 195)
