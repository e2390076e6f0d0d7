"""What every request passes before it is read: the token, and the limit of its size."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

from napari_nunext.serving.refusals import too_large, unauthorised

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from napari_nunext.serving.refusals import Refusal

OPEN_PATHS = frozenset({"/healthz", "/openapi.json"})
"""Answered without a token. `/healthz` then tells no more than that the server is there."""

AUTHORISED = "napari_nunext.authorised"
"""Key of the scope: whether the request showed the token."""


class Gate:
    """ASGI middleware. A body is not read before its sender is known, nor beyond the limit."""

    def __init__(self, app: ASGIApp, *, token: str, max_body_bytes: int) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        scope[AUTHORISED] = secrets.compare_digest(
            headers.get(b"authorization", b""), self._expected
        )
        if not scope[AUTHORISED] and scope["path"] not in OPEN_PATHS:
            await refusal_response(unauthorised())(scope, receive, send)
            return
        announced = headers.get(b"content-length", b"0")
        if int(announced) > self._max_body_bytes:
            await refusal_response(too_large(self._max_body_bytes))(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        """Stop reading a body that turns out larger than it was announced, or was not announced."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise too_large(self._max_body_bytes)
            return message

        return counted


def refusal_response(refusal: Refusal) -> Response:
    """The answer that tells of a refusal."""
    return Response(
        refusal.problem.model_dump_json(),
        refusal.status_code,
        dict(refusal.headers or {}),
        "application/json",
    )
