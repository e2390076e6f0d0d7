"""A vLLM server, as our side of the wire sees it.

Requests run in an event loop of their own thread, so that many windows are under way while one
thread, the model server's, reads what comes.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.core.process.loop_thread import LoopThread
from napari_nunext.models.vllm.requests import PATH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine
    from concurrent.futures import Future

CONNECT_TIMEOUT_S = 5.0
LOOK_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 300.0
"""Between two chunks. A window that waits for its turn says nothing, and hundreds may be ahead."""
MOST_CONNECTIONS = 1024
LOOK_AGAIN_S = 2.0
"""What was seen of a server's state counts for so long."""

SOCKET = "unix:"
"""Begins the address of a vLLM that listens on a socket in the file system."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Look:
    """How a server was at a moment."""

    at_s: float
    served: tuple[str, ...] = ()
    """Names of the checkpoint and its adapters."""
    problem: str | None = None
    """One sentence where it could not be asked."""
    away: bool = False
    """The problem is that it did not answer, which may pass."""


class VllmConnection:
    """Requests to one vLLM server. Safe to share between threads.

    Parameters
    ----------
    url : str
        Without ``/v1``; or ``unix:`` and the path of a socket.
    key : str, optional
        What the server wants as its API key. Never logged, nor part of any message.
    transport : httpx.AsyncBaseTransport, optional
        What carries the requests; the network by default.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._transport = transport or _transport(self.url)
        self._lock = threading.Lock()
        self._requests = LoopThread("vllm-requests")
        self._http: httpx.AsyncClient | None = None
        self._look: Look | None = None

    def submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Run `work` in the loop. Cancelling the future hangs up, which frees vLLM's sequence."""
        return self._requests.submit(work)

    def close(self) -> None:
        """Hang up on whatever is under way, and end the thread."""
        self._requests.close(self._hang_up)

    def look(self) -> Look:
        """How the server is; looked for anew every few seconds."""
        with self._lock:
            look = self._look
        if look is None or time.monotonic() - look.at_s > LOOK_AGAIN_S:
            look = self._looked()
            with self._lock:
                self._look = look
        return look

    def _looked(self) -> Look:
        try:
            return Look(time.monotonic(), self.submit(self._names()).result())
        except ServerUnavailableError as error:
            return Look(time.monotonic(), problem=str(error), away=True)
        except RequestRejectedError as error:
            return Look(time.monotonic(), problem=str(error))

    async def _names(self) -> tuple[str, ...]:
        await self.ask("GET", "/health", timeout_s=LOOK_TIMEOUT_S)
        answer = await self.ask("GET", "/v1/models", timeout_s=LOOK_TIMEOUT_S)
        try:
            return tuple(str(model["id"]) for model in answer.json()["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestRejectedError(
                f"What answers at {self.url} is not a vLLM server. Correct the address.",
                answer.status_code,
            ) from error

    async def ask(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = SILENCE_TIMEOUT_S
    ) -> httpx.Response:
        """One answer, whole.

        Raises
        ------
        ServerUnavailableError
            If the server does not answer, or fails; it may be back.
        RequestRejectedError
            If it refuses.
        """
        try:
            response = await self._client().request(
                method, path, json=body, timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
            )
        except httpx.TransportError as error:
            raise self._away(error) from error
        self._check(response, response.text)
        return response

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The chunks of a streamed answer, to its end; errors as those of `ask`."""
        try:
            async with self._client().stream("POST", PATH, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    self._check(response, (await response.aread()).decode(errors="replace"))
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    if line.startswith("data:"):
                        yield self._chunk(data)
        except httpx.TransportError as error:
            raise self._away(error) from error
        raise ServerUnavailableError(f"The vLLM server at {self.url} broke off its answer.")

    def _chunk(self, data: str) -> dict[str, Any]:
        chunk: dict[str, Any] = json.loads(data)
        if "error" in chunk:  # told in the stream, since its status is long gone
            raise ServerUnavailableError(
                f"The vLLM server at {self.url} failed ({_first_words(data)})."
            )
        return chunk

    def _check(self, response: httpx.Response, text: str) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status == httpx.codes.UNAUTHORIZED:
            raise RequestRejectedError(
                f"The vLLM server at {self.url} wants another key. Start both with the same one.",
                status,
            )
        if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
            raise ServerUnavailableError(
                f"The vLLM server at {self.url} cannot answer now (status {status}). Its log says "
                "why."
            )
        raise RequestRejectedError(
            f"The vLLM server at {self.url} refused ({status}: {_first_words(text)}). Compare its "
            "version and options with those in docs/vllm.md.",
            status,
        )

    def _away(self, error: httpx.TransportError) -> ServerUnavailableError:
        why = str(error) or type(error).__name__
        return ServerUnavailableError(
            f"The vLLM server at {self.url} does not answer ({why}). It takes a minute or more to "
            "start; if it does not run, start it."
        )

    def _client(self) -> httpx.AsyncClient:
        """Made in the loop that uses it."""
        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url="http://vllm" if self.url.startswith(SOCKET) else self.url,
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                transport=self._transport,
            )
        return self._http

    async def _hang_up(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def _transport(url: str) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(
        uds=url.removeprefix(SOCKET) if url.startswith(SOCKET) else None,
        limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
        # A proxy set in the environment could not reach this machine's own loopback.
        trust_env=False,
    )


def _first_words(text: str) -> str:
    """What a server said, short enough for a message. It never repeats the key or the image."""
    return " ".join(text.split())[:200]
