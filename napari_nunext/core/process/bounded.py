"""A cache that is bounded by bytes rather than by count."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Keeps the values used last, as many as fit. Safe between threads.

    Parameters
    ----------
    capacity_bytes : int
        Most that is kept, all values together.
    size_of : callable
        Bytes of a value, which stay what they are.
    """

    def __init__(self, capacity_bytes: int, size_of: Callable[[V], int]) -> None:
        self.capacity_bytes = capacity_bytes
        self._size_of = size_of
        self._size_bytes = 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def size_bytes(self) -> int:
        """What is kept now."""
        return self._size_bytes

    def get(self, key: K) -> V | None:
        """The value, used just now; None where it is not there (any more)."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, in place of what `key` had; those used longest ago make room.

        A value that is larger than the cache is not kept, and drives nothing out.
        """
        size = self._size_of(value)
        with self._lock:
            before = self._values.pop(key, None)
            if before is not None:
                self._size_bytes -= self._size_of(before)
            if size > self.capacity_bytes:
                return
            self._values[key] = value
            self._size_bytes += size
            while self._size_bytes > self.capacity_bytes:
                self._size_bytes -= self._size_of(self._values.popitem(last=False)[1])
