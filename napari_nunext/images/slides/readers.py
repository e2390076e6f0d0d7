"""Open slides and decoded tiles, as few as the memory is meant for, whoever reads them."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images.picture import damaged
from napari_nunext.images.slides.reader import DamagedTileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.images.slides.reader import SlideHeader, SlideReader

TILES_BYTES = 256 << 20
"""Decoded tiles of all slides of this process."""
MOST_OPEN = 16
"""Slides of this process whose files are open: thousands may be waiting in a batch."""

_Tile = tuple[int, int, int, int]
"""Slide, level, column, row."""


class OpenReaders:
    """The readers used last; others are let go of, and close once nobody reads from them.

    Parameters
    ----------
    most : int
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._readers: OrderedDict[int, SlideReader] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._readers)

    def get(self, key: int) -> SlideReader | None:
        """The reader of a slide, used just now; None where there is none (any more)."""
        with self._lock:
            reader = self._readers.get(key)
            if reader is not None:
                self._readers.move_to_end(key)
            return reader

    def put(self, key: int, reader: SlideReader) -> None:
        """Keep a reader, in place of what the slide had."""
        let_go = []  # closed outside of the lock
        with self._lock:
            let_go.append(self._readers.pop(key, None))
            self._readers[key] = reader
            while len(self._readers) > self._most:
                let_go.append(self._readers.popitem(last=False)[1])

    def drop(self, key: int, reader: SlideReader | None = None) -> None:
        """Keep the reader of a slide no longer, or that one alone."""
        with self._lock:
            if reader is None or self._readers.get(key) is reader:
                reader = self._readers.pop(key, None)


READERS = OpenReaders(MOST_OPEN)
TILES: BoundedCache[_Tile, NDArray[np.uint8]] = BoundedCache(TILES_BYTES, lambda tile: tile.nbytes)
_numbers = itertools.count()


class SlideFile:
    """The file of a slide, opened as often as it takes. Safe between threads.

    Parameters
    ----------
    path : Path
    open_reader : callable
        Opens the file and reads its header. Raises anything where it cannot.
    """

    def __init__(self, path: Path, open_reader: Callable[[], SlideReader]) -> None:
        self._path = path
        self._open_reader = open_reader
        self._number = next(_numbers)
        weakref.finalize(self, READERS.drop, self._number)
        self._wholes: dict[int, weakref.ref[NDArray[np.uint8]]] = {}
        reader = open_reader()
        self.header: SlideHeader = reader.header
        READERS.put(self._number, reader)

    def tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """Pixels of a tile, read-only, shared, at least as large as it shows.

        Raises
        ------
        DamagedTileError
            If it cannot be decoded.
        ImageError
            If it cannot be read now, by a reader of its own either.
        """
        key = (self._number, level, column, row)
        tile = TILES.get(key)
        if tile is None:
            tile = self._read(level, column, row)
            tile.flags.writeable = False
            TILES.put(key, tile)
        return tile

    def whole(self, level: int, read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """All pixels of a level, read-only: the same array as long as somebody holds it."""
        held = self._wholes.get(level)
        pixels = None if held is None else held()
        if pixels is None:
            pixels = read()
            pixels.flags.writeable = False
            self._wholes[level] = weakref.ref(pixels)
        return pixels

    def reader(self) -> SlideReader:
        """One that is open."""
        reader = READERS.get(self._number)
        if reader is None:
            reader = self._opened()
            READERS.put(self._number, reader)
        return reader

    def _read(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        reader = None
        try:
            reader = self.reader()
            return reader.read_tile(level, column, row)
        except DamagedTileError:
            raise
        # Whatever a decoder runs into: OpenSlide's handles fail for ever once they failed, also for
        # other threads, and a network drive may be back. So it is read again, by nobody else's.
        except Exception:  # noqa: BLE001
            READERS.drop(self._number, reader)
        fresh = self._opened()
        try:
            tile = fresh.read_tile(level, column, row)
        except ImageError:
            raise
        except OSError as error:
            raise ImageError(
                f"{self._path.name} cannot be read now ({error.strerror or type(error).__name__}). "
                "Is its drive connected?"
            ) from error
        except Exception as error:
            raise DamagedTileError(str(damaged(self._path, error))) from error
        READERS.put(self._number, fresh)
        return tile

    def _opened(self) -> SlideReader:
        try:
            reader = self._open_reader()
        except ImageError:
            raise
        except Exception as error:
            raise damaged(self._path, error) from error
        if reader.header != self.header:
            raise ImageError(f"{self._path.name} has changed since it was opened. Open it again.")
        return reader
