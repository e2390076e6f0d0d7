"""What every connection passes before a request of it is read: time limits, and room for strangers.

Uvicorn limits how long a connection may be idle between two requests, and nothing else: a few
hundred heads that are never finished hold every file that a process may open. Here

- the head of a request has to be there some seconds after its connection or its first byte,
- a connection on which nobody has shown a token or key ends after a minute,
- strangers are counted: where there are too many, the one that waits for longest is put out, of the
  address that has the most. Whoever has a key is no stranger any more before that can happen.

How long a body may take is the business of `napari_nunext.serving.http.gate`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from napari_nunext.serving.http.gate import CALLER

if TYPE_CHECKING:
    import asyncio

    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)


class GuardedProtocol(H11Protocol):
    """Uvicorn's protocol, for one connection, within limits.

    Parameters
    ----------
    limits : ServerSettings
    options : object
        As uvicorn gives them.
    """

    def __init__(self, *, limits: ServerSettings, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._made_s = self.loop.time()
        self._is_stranger = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._stranger_timer: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> str:
        """Address of the other end."""
        return self.client[0] if self.client else ""

    @property
    def is_stranger(self) -> bool:
        """Whether the last request that was looked at, if any, came without a token or key."""
        if self.scope is not None and CALLER in self.scope:
            self._is_stranger = self.scope[CALLER] is None  # type: ignore[literal-required]
        return self._is_stranger

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._await_head()
        self._stranger_timer = self.loop.call_later(self._limits.max_stranger_s, self._end_stranger)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._head_timer, self._stranger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come, and see whether it is a whole head."""
        # Remembered until the next request is looked at: who has a key is no stranger meanwhile.
        self._is_stranger = self.is_stranger
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._watch_what_began()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._watch_what_began()

    def _watch_what_began(self) -> None:
        # Also of a body that goes on after its refusal: uvicorn would read it for ever.
        begun = self.conn.trailing_data[0] or self.conn.their_state is h11.SEND_BODY
        if begun and (self.cycle is None or self.cycle.response_complete):
            self._await_head()

    def _await_head(self) -> None:
        """Give the head of a request its time from now on, if it does not run yet."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(
                self._limits.max_head_s, self._end, "it did not finish the head of a request"
            )

    def _end_stranger(self) -> None:
        if self.is_stranger:
            self._end("it showed no key for too long")

    def _end(self, why: str) -> None:
        """Hang up, without waiting for the other end."""
        if not self.transport.is_closing():
            logger.info("hung up on a connection: %s", why)
            self.transport.abort()

    def _make_room(self) -> None:
        """Put out one stranger, if there are too many."""
        limits = self._limits
        strangers = [
            each
            for each in self.connections
            if isinstance(each, GuardedProtocol)
            and each.is_stranger
            and not each.transport.is_closing()
        ]
        of_peer = Counter(each.peer for each in strangers)
        if of_peer[self.peer] > limits.strangers_per_peer:
            crowd = self.peer
        elif len(strangers) > limits.strangers or len(self.connections) > limits.connections:
            crowd = of_peer.most_common(1)[0][0]
        else:
            return
        oldest = min((s for s in strangers if s.peer == crowd), key=lambda s: s._made_s)
        oldest._end("too many that showed no key")
