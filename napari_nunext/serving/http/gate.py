"""What every request passes before it is read: who asks, how much it sends, and how fast.

What leaves through here is counted and logged, without what was asked about: the route, not the
path, which holds the hash of an image.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from napari_nunext.serving.http.errors import refusal_response
from napari_nunext.serving.refusals import (
    busy,
    hung_up,
    silent,
    too_large,
    too_slow,
    unauthorised,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from napari_nunext.serving.health.metrics import Metrics
    from napari_nunext.serving.http.keys import Keyring
    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/openapi.json"})
"""Answered without a token. `/healthz` then tells no more than that the server is there."""

IMAGES = "/v1/images/"
"""Where requests are as large as images; all others are JSON."""

CALLER = "napari_nunext.caller"
"""Key of the scope: the `Caller`, or None for a stranger."""

LET_GO = "napari_nunext.let_go"
"""Key of the scope: to be called when nothing is held any more of what was read of the body."""


class Gate:
    """ASGI middleware. A body is not read before its sender is known, nor beyond the limits."""

    def __init__(
        self, app: ASGIApp, *, keyring: Keyring, settings: ServerSettings, metrics: Metrics
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._settings = settings
        self._metrics = metrics
        self._held_bytes = 0
        """What has been read of the requests under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, told)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        address = scope["client"][0] if scope.get("client") else ""
        caller = self._keyring.caller(headers.get(b"authorization", b""), address)
        scope[CALLER] = caller
        if caller is None and scope["path"] not in OPEN_PATHS:
            await refusal_response(unauthorised())(scope, receive, send)
            return
        limit = self._settings.max_body_bytes
        if not scope["path"].startswith(IMAGES):
            limit = min(limit, self._settings.max_json_bytes)
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > limit:
            await refusal_response(too_large(limit))(scope, receive, send)
            return
        body = _Body(self, receive, limit, self._settings)
        scope[LET_GO] = body.let_go
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.let_go()

    def hold(self, more_bytes: int) -> None:
        """Count what is read of a body or let go of; too much of all is refused for the moment."""
        self._held_bytes += more_bytes
        if more_bytes > 0 and self._held_bytes > self._settings.max_held_bytes:
            raise busy("all", 5)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        caller = scope.get(CALLER)
        route = getattr(scope.get("route"), "path", "other")
        # Anybody may invent a method.
        method = scope["method"] if route != "other" else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        who = "a stranger" if caller is None else caller.id
        logger.log(
            logging.DEBUG if route == "/healthz" else logging.INFO,
            "%s %s for %s: %d after %.3f s",
            method,
            route,
            who,
            status,
            seconds,
            extra={
                "facts": {
                    "method": method,
                    "route": route,
                    "user": None if caller is None else caller.id,
                    "status": status,
                    "seconds": round(seconds, 4),
                }
            },
        )


class _Body:
    """Reads a request's body, up to a size and for a time."""

    def __init__(
        self, gate: Gate, receive: Receive, limit_bytes: int, settings: ServerSettings
    ) -> None:
        self._gate = gate
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._settings = settings
        self._now_s = asyncio.get_running_loop().time
        self._deadline_s = self._now_s() + settings.max_upload_s
        self._complete = False
        self._size_bytes = 0
        self._held_bytes = 0

    def let_go(self) -> None:
        """Nothing of what was read is held any more."""
        self._gate.hold(-self._held_bytes)
        self._held_bytes = 0

    async def receive(self) -> Message:
        """The next message. After the body, what comes is that the caller hangs up."""
        if self._complete:
            return await self._receive()
        silence_s = self._now_s() + self._settings.max_silence_s
        try:
            async with asyncio.timeout_at(min(self._deadline_s, silence_s)):
                message = await self._receive()
        except TimeoutError:
            if silence_s < self._deadline_s:
                raise silent(self._settings.max_silence_s) from None
            raise too_slow(self._settings.max_upload_s) from None
        if message["type"] == "http.disconnect":
            raise hung_up()  # no error of ours, and nobody is there to be told
        more_bytes = len(message.get("body", b""))
        self._size_bytes += more_bytes
        self._held_bytes += more_bytes
        self._complete = not message.get("more_body", False)
        self._gate.hold(more_bytes)
        if self._size_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return message
