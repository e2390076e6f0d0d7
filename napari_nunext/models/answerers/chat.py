"""Any server that speaks OpenAI's chat interface: vLLM, Ollama, LM Studio, llama.cpp.

Requests run in an event loop of their own thread; who asks reads what has come. So hanging up is
one call, and a server that says nothing holds up nobody.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from napari_nunext.core.errors import NunextError, RequestRejectedError, ServerUnavailableError
from napari_nunext.core.process.loop_thread import LoopThread
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from napari_nunext.models.answerers.picture import png_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.answers.answerer import AnswererAddress
    from napari_nunext.models.answerers.answerer import Finish

CONNECT_TIMEOUT_S = 5.0
LOOK_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 300.0
"""Before the first token a model may have to be loaded."""
LOOK_S = 0.02
"""So long is waited for news, before somebody else is served."""
MOST_CHARACTERS_A_TOKEN = 16
"""A server that goes on beyond this never stops; tokens of words have 4 or 5."""
MOST_LINE_BYTES = 2**20


class ChatAnswerer:
    """A model of such a server; an `Answerer`. Safe between threads.

    Parameters
    ----------
    address : AnswererAddress
    transport : httpx.AsyncBaseTransport, optional
        What carries the requests; the network by default.
    silence_s : float
        Longest pause within an answer.
    """

    apart = True
    allocator = None

    def __init__(
        self,
        address: AnswererAddress,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        silence_s: float = SILENCE_TIMEOUT_S,
    ) -> None:
        self.address = address
        self._transport = transport
        self._silence_s = silence_s
        self._asks = LoopThread("asks")

    def problem(self) -> str | None:
        """Why it cannot be asked now, in a sentence."""
        try:
            return asyncio.run(self._look())
        except NunextError as error:
            return str(error)

    def answer(
        self,
        rgb: NDArray[np.uint8],
        prompt: str,
        system: str,
        sampling: AnswerSampling,
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[Said | Ended | None]:
        """Answer, piece by piece; see `Answerer.answer`."""
        inbox: SimpleQueue[Said | Ended | BaseException] = SimpleQueue()
        body = _request(self.address.model, png_url(rgb), prompt, system, sampling)
        most = MOST_CHARACTERS_A_TOKEN * sampling.max_tokens
        task = self._asks.submit(self._ask(body, most, inbox.put))
        try:
            while not cancelled():
                try:
                    said = inbox.get(timeout=LOOK_S)
                except Empty:
                    yield None
                    continue
                if isinstance(said, BaseException):
                    raise said
                yield said
                if isinstance(said, Ended):
                    return
            yield Ended("cancelled")
        finally:
            task.cancel()  # hangs up, which frees the server's model

    def close(self) -> None:
        """Hang up on whatever is under way, and end the thread."""
        self._asks.close()

    async def _look(self) -> str | None:
        async with self._client(LOOK_TIMEOUT_S) as http:
            try:
                response = await http.get(f"{self.address.url}/models")
            except httpx.TransportError as error:
                raise self._away(error) from error
        if response.status_code != httpx.codes.OK:
            self._refused(response.status_code, response.text)
        try:
            served = [str(model["id"]) for model in response.json()["data"]]
        except (ValueError, LookupError, TypeError):
            self._no_such_server(response)
        if self.address.model in served or f"{self.address.model}:latest" in served:
            return None
        return (
            f"{self._who} has no model {self.address.model}; it has {', '.join(served[:20])}. "
            "Name one of them where the model server is started."
        )

    async def _ask(
        self,
        body: dict[str, Any],
        most_characters: int,
        tell: Callable[[Said | Ended | BaseException], None],
    ) -> None:
        """Send what comes to `tell`; the last is an `Ended` or an error."""
        characters, ended = 0, _Ending()
        try:
            async with aclosing(self._chunks(body)) as chunks:
                async for chunk in chunks:
                    ended.take(chunk)
                    for choice in chunk.get("choices") or ():
                        for said in _pieces(choice.get("delta") or {}):
                            characters += len(said.text)
                            tell(said)
                    if characters > most_characters:
                        ended.reason = "length"
                        break
        except NunextError as error:
            if not characters:
                tell(error)
                return
        except (AttributeError, TypeError, ValueError) as error:
            if not characters:
                tell(self._strange(error))
                return
        if ended.finish == "broken" and not characters:
            tell(ServerUnavailableError(f"{self._who} broke off before it said anything."))
            return
        tell(Ended(ended.finish, ended.count("prompt_tokens"), ended.count("completion_tokens")))

    async def _chunks(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        url = f"{self.address.url}/chat/completions"
        try:
            async with (
                self._client(self._silence_s) as http,
                http.stream("POST", url, json=body) as response,
                aclosing(_lines(response)) as lines,
            ):
                if response.status_code != httpx.codes.OK:
                    self._refused(response.status_code, await _beginning(response))
                if "html" in response.headers.get("content-type", ""):
                    self._no_such_server(response)
                async for line in lines:
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        yield {"done": True}
                        return
                    if line.startswith("data:"):
                        chunk = json.loads(data)
                        if "error" in chunk:  # told in the stream, since its status is long gone
                            raise ServerUnavailableError(f"{self._who} failed: {_error_of(data)}")
                        yield chunk
        except httpx.TransportError as error:
            raise self._away(error) from error

    def _client(self, silence_s: float) -> httpx.AsyncClient:
        key = self.address.key
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S),
            transport=self._transport,
            # A key and a patient's tissue go where the address says, not where a redirect does.
            follow_redirects=False,
            # Reading the authorities' certificates takes a while, and http has no use for them.
            verify=self.address.url.startswith("https:"),
            trust_env=False,
        )

    # What went wrong, in words

    @property
    def _who(self) -> str:
        return f"The answerer {self.address.name} at {self.address.host}"

    def _refused(self, status: int, text: str) -> NoReturn:
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RequestRejectedError(
                f"{self._who} wants another key. Put it into the environment as "
                f"{self.address.key_variable}, and start the model server again.",
                status,
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise ServerUnavailableError(f"{self._who} has too much to do. Try again in a while.")
        if status >= 500:
            raise ServerUnavailableError(
                f"{self._who} cannot answer now (status {status}). Its log says why."
            )
        said = _error_of(text).replace(self.address.key or "\0", "(the key)")
        raise RequestRejectedError(
            f"{self._who} refused ({status}: {said}). Does the model take pictures?",
            status,
        )

    def _no_such_server(self, response: httpx.Response) -> NoReturn:
        kind = response.headers.get("content-type", "something else").partition(";")[0]
        raise RequestRejectedError(
            f"What answers at {self.address.url} is no OpenAI-compatible server (it sent {kind}). "
            "Correct the address; it usually ends in /v1.",
            response.status_code,
        )

    def _strange(self, error: Exception) -> RequestRejectedError:
        return RequestRejectedError(
            f"{self._who} answers in a form that is not understood ({type(error).__name__}). "
            "Is its address that of an OpenAI-compatible server?",
            httpx.codes.OK,
        )

    def _away(self, error: httpx.TransportError) -> ServerUnavailableError:
        return ServerUnavailableError(
            f"{self._who} does not answer ({type(error).__name__}). Start it, or wait until its "
            "model is loaded."
        )


def _request(
    model: str, picture: str, prompt: str, system: str, sampling: AnswerSampling
) -> dict[str, Any]:
    seed = {} if sampling.seed is None else {"seed": sampling.seed}
    image = {"type": "image_url", "image_url": {"url": picture}}
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": [image, {"type": "text", "text": prompt}]},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        **seed,
    }


def _pieces(delta: dict[str, Any]) -> Iterator[Said]:
    """What a piece says. Thought comes under either name, by the server's version."""
    if thought := delta.get("reasoning") or delta.get("reasoning_content"):
        yield Said(str(thought), reasoning=True)
    if text := delta.get("content"):
        yield Said(str(text))


class _Ending:
    """How a reply ends, as its chunks tell it."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._usage: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> None:
        """Look at a chunk."""
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            self.reason = choice.get("finish_reason") or self.reason
        if chunk.get("done"):  # some servers say no more than that
            self.reason = self.reason or "stop"

    @property
    def finish(self) -> Finish:
        """In our words; whatever else a server says, it ended the reply."""
        return "broken" if self.reason is None else "length" if self.reason == "length" else "stop"

    def count(self, name: str) -> int | None:
        """A figure of the usage, where it was told."""
        value = self._usage.get(name) if isinstance(self._usage, dict) else None
        return value if isinstance(value, int) else None


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Lines, none of which may take all memory."""
    rest = b""
    async for piece in response.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").strip()
        if len(rest) > MOST_LINE_BYTES:
            raise ValueError("a line without end")
    yield rest.decode(errors="replace").strip()


async def _beginning(response: httpx.Response) -> str:
    """The first of a body, however long it is."""
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > 2**14:
            break
    return body[: 2**14].decode(errors="replace")


def _error_of(text: str) -> str:
    """The message in a refusal, if it is in the usual form."""
    try:
        error = json.loads(text)["error"]
        return _first_words(error["message"] if isinstance(error, dict) else str(error))
    except (ValueError, LookupError, TypeError):
        return _first_words(text)


def _first_words(text: str) -> str:
    """Short enough for a message."""
    return " ".join(str(text).split())[:200]
