"""A slide in blocks: what has been read of it is shown at once, the rest is read meanwhile.

Whoever draws never waits for a disk. What is not there yet is shown as coarse as it is there, in
the end by the coarsest level, which is kept whole. Two threads read: the coarsest level first, then
a coarse one of what is in view, then what is in view, from its middle outwards. They end when
nothing is left to read. What nobody looks at any more is not read. A coarsest level that has to be
made of all pixels comes last, by one thread.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.errors import NunextError
from napari_nunext.core.process.bounded import BoundedCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nunext.ui.canvas.image.pyramid import Pyramid

    Block: TypeAlias = tuple[int, int, int]
    """Level, row, column."""

logger = logging.getLogger(__name__)

SIDE_PX = 512
NOT_THERE = 205
"""Grey where nothing was read yet, which is neither glass nor damage."""
KEPT_BYTES = 256 << 20
"""More than the largest screen shows at once: else blocks in view would drive each other out."""
MOST_BLOCKS = KEPT_BYTES * 4 // 5 // (3 * SIDE_PX**2)
"""Of a part that is shown at once."""
THREADS = 2
AHEAD = 4.0
"""A level that is so much coarser than what is wanted is read first: it is there in no time."""
FAILED_WORDS = "A part of the slide cannot be read now. The log says more."


class Blocks:
    """What of a slide is there to be shown. Safe between threads.

    Parameters
    ----------
    pyramid : Pyramid
        Its levels are read here alone, and may be slow.
    arrived : callable
        Called by a reading thread after each block.
    failed : callable
        Called by a reading thread with a sentence where the file cannot be read now. Nothing is
        read then before somebody asks again.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        arrived: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        levels = self._levels = pyramid.levels
        self._factors = pyramid.factors
        self._own = pyramid.own
        self._arrived = arrived
        self._failed = failed
        self._floor = len(levels) - 1
        self.coarsest = np.full(levels[-1].shape, NOT_THERE, dtype=np.uint8)
        """All of the coarsest level, grey before it was read; filled in place."""
        self._unread = set(self._blocks_in(self._floor, 0, 0, *levels[-1].shape[1::-1]))
        """Blocks of the coarsest level."""
        self._kept = self._no_blocks(KEPT_BYTES)
        self._lock = threading.Lock()
        self._wanted: deque[Block] = deque()
        self._under_way: set[Block] = set()
        self._threads = 0
        self._closed = False
        self.read_coarsest()

    def read_coarsest(self) -> None:
        """Read what is missing of the coarsest level, and nothing else."""
        self._want(())

    @property
    def _is_made(self) -> bool:
        """Whether the coarsest level is made of all pixels of others: then it can wait."""
        return self._floor >= self._own

    @property
    def has_coarsest(self) -> bool:
        """Whether all of the coarsest level was read."""
        return not self._unread

    @property
    def is_reading(self) -> bool:
        """Whether a thread of it is alive."""
        with self._lock:
            return self._threads > 0

    def close(self) -> None:
        """End the threads with the block that they are at, and keep nothing.

        Whoever still has the levels, as a copy of the layer or a window that stays, is given pixels
        as they are read.
        """
        with self._lock:
            self._closed = True
            self._wanted.clear()
            self._kept = self._no_blocks(0)

    def shown(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """A part of a level, shape (y1 - y0, x1 - x0, 3), as fine as it is there; never waits.

        What is not there is asked for, instead of what was asked for before. Once it is closed it
        does wait.
        """
        if level == self._floor:
            self.read_coarsest()
            return self.coarsest[y0:y1, x0:x1]
        if self._closed:
            return self._read_now(level, x0, y0, x1, y1)
        middle = (y0 + y1) / 2 / SIDE_PX - 0.5, (x0 + x1) / 2 / SIDE_PX - 0.5
        blocks = self._blocks_in(level, x0, y0, x1, y1)
        nearest = sorted(blocks, key=lambda block: math.dist(block[1:], middle))[:MOST_BLOCKS]
        # The others stay coarse, and are not touched: what is in the middle would make room.
        there = dict.fromkeys(blocks) | {block: self._kept.get(block) for block in nearest}
        missing = [block for block in nearest if there[block] is None]
        self._want((*self._ahead_of(level, x0, y0, x1, y1, missing), *missing))
        out = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        for (_, row, column), pixels in there.items():
            top, left = row * SIDE_PX, column * SIDE_PX
            a, b = max(y0, top), min(y1, top + SIDE_PX)
            c, d = max(x0, left), min(x1, left + SIDE_PX)
            part = out[a - y0 : b - y0, c - x0 : d - x0]
            if pixels is None:
                part[:] = self._blown_up(level, c, a, d, b)
            else:
                part[:] = pixels[a - top : b - top, c - left : d - left]
        return out

    def _read_now(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        try:
            return self._levels[level][y0:y1, x0:x1]
        except (NunextError, OSError) as error:
            logger.debug("a part of a slide cannot be read: %s", type(error).__name__)
            return self._blown_up(level, x0, y0, x1, y1)

    # What is there

    @staticmethod
    def _no_blocks(most_bytes: int) -> BoundedCache[Block, NDArray[np.uint8]]:
        return BoundedCache(most_bytes, lambda pixels: pixels.nbytes)

    def _blocks_in(self, level: int, x0: int, y0: int, x1: int, y1: int) -> list[Block]:
        rows = range(y0 // SIDE_PX, -(-y1 // SIDE_PX))
        columns = range(x0 // SIDE_PX, -(-x1 // SIDE_PX))
        return [(level, row, column) for row in rows for column in columns]

    def _blown_up(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """A part of a level, by the finest of the coarser ones that is there."""
        for coarse in range(level + 1, self._floor + 1):
            ratio = self._factors[level] / self._factors[coarse]
            height, width, _ = self._levels[coarse].shape
            rows = _under(y0, y1, ratio, height)
            columns = _under(x0, x1, ratio, width)
            box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
            pixels = self._whole(coarse, *box)
            if pixels is not None:
                # Columns first: what is taken twice is then still small.
                return pixels.take(columns - box[0], axis=1).take(rows - box[1], axis=0)
        raise AssertionError("the coarsest level is always there")

    def _whole(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8] | None:
        """A part of a level, if all of it is there."""
        if level == self._floor:
            return self.coarsest[y0:y1, x0:x1]
        there = {}
        for block in self._blocks_in(level, x0, y0, x1, y1):
            pixels = self._kept.get(block)
            if pixels is None:
                return None
            there[block[1:]] = pixels
        (top, left), (bottom, right) = min(there), max(there)
        rows = [
            np.concatenate([there[row, column] for column in range(left, right + 1)], axis=1)
            for row in range(top, bottom + 1)
        ]
        out = np.concatenate(rows)
        y, x = top * SIDE_PX, left * SIDE_PX
        return out[y0 - y : y1 - y, x0 - x : x1 - x]

    def _ahead_of(
        self, level: int, x0: int, y0: int, x1: int, y1: int, missing: Sequence[Block]
    ) -> list[Block]:
        """What is read before what is missing of a level: a coarse view of it."""
        factor = self._factors[level]
        coarse = next(
            (n for n, each in enumerate(self._factors) if each >= AHEAD * factor), self._floor
        )
        if coarse == self._floor or coarse >= self._own or len(missing) <= 1:
            return []
        ratio = factor / self._factors[coarse]
        height, width, _ = self._levels[coarse].shape
        rows, columns = _under(y0, y1, ratio, height), _under(x0, x1, ratio, width)
        blocks = self._blocks_in(
            coarse, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        )
        return [block for block in blocks if self._kept.get(block) is None]

    # Reading

    def _want(self, blocks: Iterable[Block]) -> None:
        """Have these read next, in this order, and nothing else but the coarsest level."""
        with self._lock:
            if self._closed:
                return
            whole = sorted(self._unread)
            first_whole = (*whole, *blocks), (*blocks, *whole)
            order = first_whole[self._is_made]
            self._wanted = deque(block for block in order if block not in self._under_way)
            more = min(THREADS, len(self._wanted)) - self._threads
            self._threads += max(more, 0)
        for _ in range(more):
            threading.Thread(target=self._work, name="nunext-slide", daemon=True).start()

    def _work(self) -> None:
        while (block := self._next()) is not None:
            try:
                pixels = self._read(block)
            except (NunextError, OSError) as error:
                self._give_up(block, str(error))
            # Whatever a decoder runs into must not end the thread, which others count on.
            except Exception:
                logger.exception("a block of a slide cannot be read")
                self._give_up(block, FAILED_WORDS)
            else:
                self._keep(block, pixels)

    def _next(self) -> Block | None:
        with self._lock:
            for block in self._wanted:
                if not (self._takes_long(block) and any(map(self._takes_long, self._under_way))):
                    self._wanted.remove(block)
                    self._under_way.add(block)
                    return block
            self._threads -= 1
            return None

    def _takes_long(self, block: Block) -> bool:
        """Whether a thread may be gone for seconds: the other one is then there for the view."""
        return self._is_made and block[0] == self._floor

    def _read(self, block: Block) -> NDArray[np.uint8]:
        level, row, column = block
        top, left = row * SIDE_PX, column * SIDE_PX
        pixels = self._levels[level][top : top + SIDE_PX, left : left + SIDE_PX]
        # A part of a larger tile would hold all of it.
        return pixels if pixels.base is None else pixels.copy()

    def _keep(self, block: Block, pixels: NDArray[np.uint8]) -> None:
        level, row, column = block
        if level == self._floor:
            top, left = row * SIDE_PX, column * SIDE_PX
            self.coarsest[top : top + SIDE_PX, left : left + SIDE_PX] = pixels
        else:
            self._kept.put(block, pixels)
        with self._lock:
            self._under_way.discard(block)
            self._unread.discard(block)
            if self._closed:
                return
        self._arrived()

    def _give_up(self, block: Block, words: str) -> None:
        with self._lock:
            self._under_way.discard(block)
            self._wanted.clear()
            if self._closed:
                return
        self._failed(words)


def _under(low: int, high: int, ratio: float, size: int) -> NDArray[np.intp]:
    """Pixels of a coarse level under those of a finer one, `ratio` below 1; shape (high - low,)."""
    places = (np.arange(low, high) + 0.5) * ratio
    return np.minimum(places.astype(np.intp), size - 1)
