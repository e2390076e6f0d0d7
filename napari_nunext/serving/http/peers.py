"""Several processes that look like one server: images and cancellations reach whoever needs them.

Behind a load balancer an image may be sent to one process and asked about at another. Each shares
what it is sent, and fetches what it is asked about and does not have, before the request is
handled; a cancellation is told to all. The server itself knows nothing of this: `join` puts it
between the gate and the routes, so strangers fetch nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from starlette.middleware import Middleware

from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.http.jobs import job_path

if TYPE_CHECKING:
    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from napari_nunext.serving.service import Service

logger = logging.getLogger(__name__)

IMAGES = "/v1/images/"
CANCEL = "/v1/cancel"
RETRY_S = 1.0
"""How soon the peers are asked again after they did not answer."""

_Heard: TypeAlias = Callable[[bytes], Awaitable[None]]


class Peers(Protocol):
    """What the processes of one server have in common. `ConnectionError` where it is away."""

    async def share(self, sha256: str, rgb: NDArray[np.uint8]) -> None:
        """Keep the pixels of an image, shape (H, W, 3), for the others."""
        ...

    async def find(self, sha256: str) -> NDArray[np.uint8] | None:
        """Pixels that somebody shared, or None (any more)."""
        ...

    async def cancel(self, run: str) -> None:
        """Tell everybody to stop a run."""
        ...

    async def cancels(self, after: int) -> tuple[int, list[str]]:
        """Wait for cancellations later than number `after`; their runs, and the last number.

        May answer with none after a while. The first call says ``after=-1``: from now on.
        """
        ...


def join(app: FastAPI, peers: Peers) -> None:
    """Make a server, not started yet, one of several.

    Parameters
    ----------
    app : FastAPI
        What `napari_nunext.serving.http.app.create_app` returned.
    peers : Peers
    """
    # Innermost: what is added in the usual way comes before the gate.
    app.user_middleware.append(Middleware(_Joined, service=app.state.service, peers=peers))


class _Joined:
    """ASGI middleware that does what `join` promises."""

    def __init__(self, app: ASGIApp, *, service: Service, peers: Peers) -> None:
        self._app = app
        self._service = service
        self._peers = peers
        self._naming_an_image = {job_path(kind) for kind in service.kinds}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            listening = asyncio.create_task(self._listen())
            try:
                await self._app(scope, receive, send)
            finally:
                listening.cancel()
            return
        path, method = scope.get("path", ""), scope.get("method")
        if path.startswith(IMAGES) and method == "HEAD":
            await self._bring(path.removeprefix(IMAGES))
        elif path.startswith(IMAGES) and method == "PUT":
            send = self._sharing(path.removeprefix(IMAGES), send)
        elif path in self._naming_an_image:
            receive = _overheard(receive, self._bring_named)
        elif path == CANCEL:
            receive = _overheard(receive, self._pass_on)
        await self._app(scope, receive, send)

    async def _bring(self, sha256: str) -> None:
        """Fetch an image that others have and this process has not."""
        if self._service.images.get(sha256) is not None:
            return
        try:
            rgb = await self._peers.find(sha256)
        except ConnectionError as error:
            logger.warning("an image cannot be fetched from the other processes: %s", error)
            return
        if rgb is not None:
            self._service.images.put(sha256, tile_of_rgb(rgb, sha256))

    async def _bring_named(self, body: bytes) -> None:
        sha256 = _field(body, "image")
        if sha256 is not None:
            await self._bring(sha256)

    async def _pass_on(self, body: bytes) -> None:
        run = _field(body, "run")
        if run is None:
            return
        try:
            await self._peers.cancel(run)
        except ConnectionError as error:
            logger.warning("the other processes were not told of a cancellation: %s", error)

    def _sharing(self, sha256: str, send: Send) -> Send:
        """Share the image before its sender is told that it was taken."""

        async def sharing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                image = self._service.images.get(sha256)
                if image is not None:
                    try:
                        await self._peers.share(sha256, image.read_region(image.box))
                    except ConnectionError as error:
                        logger.warning("an image is not shared: %s", error)
            await send(message)

        return sharing

    async def _listen(self) -> None:
        """Stop the runs that others were asked to stop, for as long as the server runs."""
        after = -1
        while True:
            try:
                after, runs = await self._peers.cancels(after)
            except ConnectionError as error:
                logger.warning("no cancellations are heard at the moment: %s", error)
                await asyncio.sleep(RETRY_S)
                after = -1  # what keeps them may have been started again, and counts anew
                continue
            for run in runs:
                self._service.cancel(run)


def _overheard(receive: Receive, heard: _Heard) -> Receive:
    """The same messages; `heard` is given the whole body before the last of it is handed on."""
    parts: list[bytes] = []
    complete = False

    async def overheard() -> Message:
        nonlocal complete
        message = await receive()
        if message["type"] == "http.request" and not complete:
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                complete = True
                await heard(b"".join(parts))
        return message

    return overheard


def _field(body: bytes, name: str) -> str | None:
    """A text field of a JSON object, or None; what is wrong with a request the routes will say."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
