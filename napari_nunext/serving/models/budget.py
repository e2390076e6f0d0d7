"""Bytes that tasks take before they need them, and give back; who comes first, goes first."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """Bytes that may be in use at a time. Belongs to the event loop's thread.

    Parameters
    ----------
    capacity_bytes : int
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size_bytes: int) -> None:
        """Take bytes, once they are free and all who asked before have theirs.

        One that waits may be cancelled, and then has taken nothing. What is taken has to be given
        back.
        """
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(size_bytes)  # it came at the same moment
            raise
        finally:
            self._grant()

    def give_back(self, size_bytes: int) -> None:
        """Let others have them."""
        self.used_bytes -= size_bytes
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if not turn.done():
                if self.used_bytes + size_bytes > self.capacity_bytes:
                    return
                self.used_bytes += size_bytes
                turn.set_result(None)
            self._waiting.popleft()
