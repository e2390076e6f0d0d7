"""Talk to a model server, from any thread but the one that draws the window.

`Client` is safe to share between threads: while one iterates over `Client.detect`, another may call
`Client.cancel`. Every failure is one of two errors: the server does not answer or died
(`ServerUnavailableError`), or it answered and refused (`RequestRejectedError`). A server that is
busy or about to be started again is waited for where the caller has the `Patience`.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from napari_nunext.core.errors import (
    InputError,
    RequestRejectedError,
    ServerError,
    ServerUnavailableError,
)
from napari_nunext.serving.addresses import is_loopback
from napari_nunext.serving.ask_protocol import AnswererList, ask_event
from napari_nunext.serving.client.patience import Waiting
from napari_nunext.serving.client.refusals import body_of, rejection_of, unknown_field
from napari_nunext.serving.protocol import (
    FILES_KEY_HEADER,
    LAST_EVENTS,
    Cancelled,
    CancelRequest,
    DetectRequest,
    Event,
    FileOffer,
    Health,
    ImageStored,
    ModelInfo,
    ModelList,
    SegmentReply,
    SegmentRequest,
    detect_event,
)
from napari_nunext.serving.rows import MEDIA_TYPE, is_one_block, png_of, rows_of
from napari_nunext.serving.windows_protocol import windows_event

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.ask_protocol import AnswererInfo, AskEvent, AskRequest
    from napari_nunext.serving.client.patience import Patience
    from napari_nunext.serving.protocol import DetectEvent, JobRequest
    from napari_nunext.serving.windows_protocol import WindowsEvent, WindowsRequest

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
WORK_TIMEOUT_S = 600.0
"""How long an upload or a segmentation may take: one waits for the network, one for its turn."""
SILENCE_TIMEOUT_S = 60.0
"""Longest silence within a stream; a server that is alive says so every few seconds."""

_Reply = TypeVar("_Reply", bound=BaseModel)
_Event = TypeVar("_Event", bound=Event)


class Client:
    """A model server, wherever it runs.

    Parameters
    ----------
    url : str
        For example ``"http://127.0.0.1:8123"``.
    token : str, optional
        The server's bearer token.
    files_key : str, optional
        What lets us name files of the server's machine: of a server that we started.
    transport : httpx.BaseTransport, optional
        What carries the requests; the network by default.

    Raises
    ------
    InputError
        If `url` is not an http or https address.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        files_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self._files_key = files_key
        self._is_closed = threading.Event()
        self._lacks: frozenset[str] = frozenset()
        """Fields that this server said it does not know; it is asked without."""
        address = httpx.URL(self.url)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            # A proxy set in the environment could not reach this machine's own loopback.
            trust_env=not is_loopback(address.host),
            # Reading the authorities' certificates takes a while, and http has no use for them.
            verify=address.scheme == "https",
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Runs that still stream are thereby cancelled."""
        self._is_closed.set()  # before, so that whoever does not see it is in the pool that closes
        self._http.close()

    def health(self) -> Health:
        """Whether the server is ready, on which device, and which models it holds in memory."""
        return self._ask(Health, "GET", "/healthz")

    def models(self) -> list[ModelInfo]:
        """Every detector and segmenter, also those that cannot be served (see their `problem`)."""
        return self._ask(ModelList, "GET", "/v1/models").models

    def put_image(self, image: ImageSource, *, patience: Patience | None = None) -> str:
        """Give the server an image, losslessly, unless it still has it.

        A server of ours reads the file itself, if it still is this image. Others are sent pixels,
        some rows at a time, so that little of the image is held for it.

        Parameters
        ----------
        image : ImageSource
        patience : Patience, optional
            For a server that is busy.

        Returns
        -------
        str
            Its id, by which requests name it.
        """
        path = f"/v1/images/{image.id}"
        with self._reply("HEAD", path) as reply:
            is_known = reply.status_code == httpx.codes.OK
        if not is_known and not self._offered(image, patience):
            one = is_one_block(image)
            self._ask(
                ImageStored,
                "PUT",
                path,
                body=lambda: png_of(image.read_region(image.box)) if one else rows_of(image),
                headers={} if one else {"Content-Type": MEDIA_TYPE},
                timeout_s=WORK_TIMEOUT_S,
                patience=patience,
            )
        return image.id

    def _offered(self, image: ImageSource, patience: Patience | None) -> bool:
        """Whether the server has read the image from its file, which only our own may."""
        if self._files_key is None or image.path is None:
            return False
        offer = FileOffer(sha256=image.id, path=str(image.path.absolute()))
        try:
            self._ask(
                ImageStored,
                "POST",
                "/v1/files",
                offer,
                headers={FILES_KEY_HEADER: self._files_key},
                timeout_s=WORK_TIMEOUT_S,
                patience=patience,
            )
        except RequestRejectedError:
            return False  # the file was moved or changed since, for example: pixels are sent
        return True

    def detect(
        self, request: DetectRequest, *, patience: Patience | None = None
    ) -> Iterator[DetectEvent]:
        """Find nuclei, yielding every event as it comes.

        The request is sent with the first step of the iteration. Closing the iterator hangs up,
        which cancels the run.

        Parameters
        ----------
        request : DetectRequest
        patience : Patience, optional
            For a server that is busy.

        Yields
        ------
        Started, Points, Hidden, WindowDone, Masks, Usage, Done or Failed
            `Done` or `Failed` is the last.

        Raises
        ------
        RequestRejectedError
            If the server refuses, before anything is yielded.
        ServerUnavailableError
            If it cannot be reached, or dies in the middle: after all that arrived was yielded.
        """
        asked = request.model_copy(update=_SAY_MORE)
        return self._events("/v1/detect", asked, detect_event, patience)

    def windows(
        self, request: WindowsRequest, *, patience: Patience | None = None
    ) -> Generator[WindowsEvent]:
        """Find the nuclei of windows, yielding every event as it comes; see `detect`."""
        asked = request.model_copy(update=_SAY_MORE)
        return self._events("/v1/windows", asked, windows_event, patience)

    def _events(
        self,
        path: str,
        request: JobRequest,
        events: TypeAdapter[_Event],
        patience: Patience | None,
    ) -> Generator[_Event]:
        """What a job streams; it is asked for anew until something has come."""
        waiting = Waiting(patience, self._is_closed)
        began = False
        while True:
            lacks = self._lacks
            try:
                with closing(self._stream(path, request, events)) as stream:
                    for event in stream:
                        began = True
                        yield event
                return
            except ServerError as error:
                if began:
                    raise
                if not self._can_spare(error, lacks):
                    waiting.after(error)

    def _can_spare(self, error: ServerError, lacks: frozenset[str]) -> bool:
        """Whether a request that went without `lacks` may be sent again, with a field less."""
        field = unknown_field(error)
        if not field or field in lacks:
            return False
        self._lacks |= {field}
        return True

    def _stream(
        self, path: str, request: JobRequest, events: TypeAdapter[_Event]
    ) -> Generator[_Event]:
        """The events of one try."""
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # A server of before knows nothing of what was added since, and need not.
        body = body_of(request, self._lacks)
        with self._reply("POST", path, content=body, headers=_JSON, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise rejection_of(response)
            for line in response.iter_lines():
                if not line.strip():
                    continue
                event = events.validate_json(line)
                yield event
                if event.event in LAST_EVENTS:
                    return
        raise ServerUnavailableError(
            "The model server stopped in the middle of its answer. What it sent before is kept."
        )

    def answerers(self) -> list[AnswererInfo]:
        """Models that answer questions; none at a server of an earlier version."""
        try:
            return self._ask(AnswererList, "GET", "/v1/answerers").answerers
        except RequestRejectedError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return []
            raise

    def ask(self, request: AskRequest, *, patience: Patience | None = None) -> Iterator[AskEvent]:
        """Ask a question, yielding every event as it comes; see `detect`."""
        return self._events("/v1/ask", request, ask_event, patience)

    def cancel(self, run: str) -> bool:
        """Stop a job at its next step; what was streamed before stays.

        One that the server has not heard of yet is stopped as soon as it arrives.

        Returns
        -------
        bool
            Whether it was under way.
        """
        return self._ask(Cancelled, "POST", "/v1/cancel", CancelRequest(run=run)).found

    def segment(self, request: SegmentRequest, *, patience: Patience | None = None) -> SegmentReply:
        """Draw a mask for every prompt."""
        return self._ask(
            SegmentReply,
            "POST",
            "/v1/segment",
            request,
            timeout_s=WORK_TIMEOUT_S,
            patience=patience,
        )

    def _ask(
        self,
        reply: type[_Reply],
        method: str,
        path: str,
        message: BaseModel | None = None,
        *,
        body: Callable[[], bytes | Iterator[bytes]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        patience: Patience | None = None,
    ) -> _Reply:
        sent = dict(headers or {}) | ({} if message is None else _JSON)
        waiting = Waiting(patience, self._is_closed)
        while True:
            lacks = self._lacks
            if message is not None:
                body = body_of(message, lacks).encode
            try:
                with self._reply(
                    method,
                    path,
                    content=None if body is None else body(),
                    headers=sent,
                    timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
                ) as response:
                    content = response.read()
                    if response.is_error:
                        raise rejection_of(response)
                    return reply.model_validate_json(content)
            except ServerError as error:
                if not self._can_spare(error, lacks):
                    waiting.after(error)

    @contextmanager
    def _reply(self, method: str, path: str, **sent: Any) -> Iterator[httpx.Response]:
        """What the server answers; every request goes through here."""
        with self._failures(), self._http.stream(method, path, **sent) as response:
            try:
                yield response
            finally:
                # A pool that closes forgets a connection that is just being made.
                if self._is_closed.is_set() and "network_stream" in response.extensions:
                    response.extensions["network_stream"].close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say in a sentence what the network or the other side did."""
        try:
            yield
        except httpx.ConnectError as error:
            raise ServerUnavailableError(
                f"There is no model server at {self.url}. Start it, or check the address."
            ) from error
        except httpx.TimeoutException as error:
            raise ServerUnavailableError(
                f"The model server at {self.url} does not answer. Try again, or restart it."
            ) from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnavailableError(
                "The model server stopped in the middle of its answer. What it sent before is kept."
            ) from error
        except ValidationError as error:
            raise ServerUnavailableError(
                f"What answers at {self.url} is not a model server of this version "
                f"({error.error_count()} fields differ). Update it, or check the address."
            ) from error
        except RuntimeError as error:  # so httpx says that it was closed
            if not self._is_closed.is_set():
                raise
            raise ServerUnavailableError(
                f"The connection to {self.url} is closed, so nothing more is asked there."
            ) from error


_JSON = {"Content-Type": "application/json"}
_SAY_MORE = {"position_error": True}
"""What a search is asked for besides: this client understands it."""


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise InputError(f"{url!r} is not an address; expected http://host:port.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"{url!r} is not a server's address; expected http://host:port.")
    return str(parsed).rstrip("/")
