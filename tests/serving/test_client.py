from __future__ import annotations

import io
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from napari_nunext.core.errors import (
    InputError,
    RequestRejectedError,
    ServerError,
    ServerUnavailableError,
)
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.patience import Patience
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    MaskPrompt,
    Outline,
    PromptPoint,
    SegmentRequest,
)
from napari_nunext.serving.windows_protocol import WindowsRequest
from tests.serving.conftest import TOKEN
from tests.waiting import PATIENCE_S, wait_for

REQUEST = DetectRequest(image="0" * 64, mpp=0.5)
POINTS = '{"event":"points","window":0,"points":[]}'
DONE = '{"event":"done","points":0,"finish":"complete"}'


def client_of(answer, **kwargs) -> Client:
    return Client("http://server:1", transport=httpx.MockTransport(answer), **kwargs)


def broken_stream(*lines: str, error: Exception | None = None):
    def chunks():
        for line in lines:
            yield line.encode()
        if error is not None:
            raise error

    return lambda request: httpx.Response(200, content=chunks())


def collect(client):
    """The events before the error, and what the error says."""
    events = []
    stream = client.detect(REQUEST)
    while True:
        try:
            events.append(next(stream))
        except ServerUnavailableError as error:
            return events, str(error)


@pytest.mark.parametrize("url", ["", "server", "ftp://server", "http://", "http://a:b:c"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match="http://host:port"):
        Client(url)


def test_the_token_goes_with_every_request():
    seen = []

    def answer(request):
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(200, json={"models": []})

    assert client_of(answer, token="abc").models() == []
    assert client_of(answer).models() == []
    assert seen == ["Bearer abc", None]


def test_no_server_at_the_address_is_said():
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(ServerUnavailableError, match=r"no model server at http://127\.0\.0\.1:9"),
    ):
        client.health()


def test_a_server_that_does_not_answer_is_said():
    def answer(request):
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(ServerUnavailableError, match="does not answer"):
        client_of(answer).health()


def test_another_kind_of_server_is_said():
    with pytest.raises(ServerUnavailableError, match="not a model server of this version"):
        client_of(lambda request: httpx.Response(200, text="<html>")).health()


def test_a_refusal_carries_the_sentence_and_the_status():
    body = {"code": "busy", "message": "Too much to do."}
    client = client_of(lambda request: httpx.Response(429, json=body))
    for ask in (
        client.models,
        lambda: next(client.detect(REQUEST)),
        lambda: client.segment(SegmentRequest(image="0" * 64, mpp=0.5, prompts=[])),
    ):
        with pytest.raises(RequestRejectedError, match="Too much to do") as caught:
            ask()
        assert caught.value.status == 429


def test_a_refusal_without_a_sentence_still_makes_one():
    client = client_of(lambda request: httpx.Response(502, text="Bad gateway"))
    with pytest.raises(RequestRejectedError, match="refused with HTTP 502"):
        client.health()


def test_empty_lines_are_skipped_and_done_is_the_end():
    lines = ["\n\n", POINTS + "\n", "\n", DONE + "\n", "what comes after is not read\n"]
    events = list(client_of(broken_stream(*lines)).detect(REQUEST))
    assert [e.event for e in events] == ["points", "done"]
    assert events[-1] == Done(points=0, finish="complete")


def test_a_stream_that_ends_early_keeps_what_came_before():
    events, said = collect(client_of(broken_stream(POINTS + "\n", POINTS + "\n")))
    assert [e.event for e in events] == ["points", "points"]
    assert "in the middle" in said


def test_a_stream_that_breaks_keeps_what_came_before():
    error = httpx.RemoteProtocolError("peer closed connection")
    events, said = collect(client_of(broken_stream(POINTS + "\n", error=error)))
    assert [e.event for e in events] == ["points"]
    assert "in the middle" in said


@pytest.mark.parametrize("last", [POINTS[:20], '{"event":"unheard-of"}\n'])
def test_a_line_that_is_no_event_is_no_crash(last):
    events, said = collect(client_of(broken_stream(POINTS + "\n", last)))
    assert [e.event for e in events] == ["points"]
    assert said


def test_pixels_are_sent_losslessly_and_only_if_the_server_lacks_them(rng):
    rgb = rng.integers(0, 256, (13, 17, 3), dtype=np.uint8)
    stored: dict[str, bytes] = {}

    def answer(request):
        sha256 = request.url.path.rsplit("/", 1)[1]
        if request.method == "HEAD":
            return httpx.Response(200 if sha256 in stored else 404)
        stored[sha256] = request.content
        return httpx.Response(200, json={"sha256": sha256, "width_px": 17, "height_px": 13})

    client = client_of(answer)
    sha256 = client.put_image(tile_of_rgb(rgb, "tile"))
    assert sha256 == pixels_sha256(rgb)
    with Image.open(io.BytesIO(stored[sha256])) as sent:
        np.testing.assert_array_equal(np.asarray(sent), rgb)
    stored[sha256] = b"kept"
    assert client.put_image(tile_of_rgb(rgb, "tile")) == sha256
    assert stored[sha256] == b"kept"


def test_cancel_names_the_run():
    def answer(request):
        assert json.loads(request.content) == {"run": "mine"}
        return httpx.Response(200, json={"found": True})

    assert client_of(answer).cancel("mine")


class Clockless(threading.Event):
    """An event whose waits take no time, and are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return self.is_set()


def refusals(*answers):
    """Each answer once, the last for ever: (status, Retry-After), an error, or a stream."""
    left = list(answers)

    def answer(request):
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Exception):
            raise now
        if isinstance(now, httpx.Response):
            return now
        status, after = now
        headers = {} if after is None else {"Retry-After": after}
        body = {"code": "busy", "message": "Too much to do. Try again in 7 s."}
        return httpx.Response(status, json=body, headers=headers)

    return answer


DONE_STREAM = httpx.Response(200, text=DONE + "\n")


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ([(429, "7"), (503, "2"), DONE_STREAM], [7, 2]),
        # It said that it would be back: until then, somebody else may answer, or nobody.
        (
            [(503, "3"), httpx.ConnectError("no"), (502, None), (504, None), DONE_STREAM],
            [3, 1, 2, 4],
        ),
    ],
)
def test_a_server_without_time_is_waited_for_and_the_caller_is_told(answers, waits):
    told = []
    stop = Clockless()
    patience = Patience(told.append, stop)
    events = list(client_of(refusals(*answers)).detect(REQUEST, patience=patience))
    assert [e.event for e in events] == ["done"]
    assert len(stop.waits) == len(waits)
    for waited, least in zip(stop.waits, waits, strict=True):
        assert least <= waited <= 1.25 * least
    assert told[0] == f"Too much to do. Asking again in {round(stop.waits[0])} s."


@pytest.mark.parametrize(
    "answer",
    [(503, None), (404, None), (502, None), (429, "601"), httpx.ConnectError("no")],
    ids=["for good", "unknown", "never there", "beyond patience", "no server"],
)
def test_what_will_not_pass_is_said_at_once(answer):
    stop = Clockless()
    client = client_of(refusals(answer))
    with pytest.raises(ServerError):
        list(client.detect(REQUEST, patience=Patience(print, stop)))
    assert stop.waits == []


def test_a_wait_can_be_ended_and_patience_ends():
    stop = Clockless()
    patience = Patience(lambda _: stop.set(), stop)
    client = client_of(refusals((429, "7")))
    for ask in (
        lambda: list(client.detect(REQUEST, patience=patience)),
        lambda: client.segment(
            SegmentRequest(image="0" * 64, mpp=0.5, prompts=[]), patience=patience
        ),
    ):
        with pytest.raises(RequestRejectedError, match="Too much to do") as caught:
            ask()
        assert caught.value.retry_s == 7
    assert len(stop.waits) == 2
    short = Patience(print, Clockless(), limit_s=0.01)
    with pytest.raises(RequestRejectedError):
        list(client.detect(REQUEST, patience=short))


def test_a_stream_that_breaks_is_not_begun_again():
    begun = []
    broken = broken_stream(POINTS + "\n")

    def answer(request):
        begun.append(request)
        return broken(request)

    events = []
    stream = client_of(answer).detect(REQUEST, patience=Patience(print, Clockless()))
    with pytest.raises(ServerUnavailableError):
        events.extend(stream)
    assert len(begun) == 1


def test_when_to_ask_again_may_be_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with pytest.raises(RequestRejectedError) as caught:
        client_of(refusals((429, later))).health()
    assert 80 < caught.value.retry_s <= 90
    with pytest.raises(RequestRejectedError) as caught:
        client_of(refusals((429, "soon"))).health()
    assert caught.value.retry_s is None


class SlowSockets:
    """Sockets whose connections take until they are let through; remembers them all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.let_through = threading.Event()
        self.made: list[socket.socket] = []
        self._connect = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", self._slowly)

    def _slowly(self, *args, **kwargs) -> socket.socket:
        self.begun.set()
        assert self.let_through.wait(PATIENCE_S)
        self.made.append(self._connect(*args, **kwargs))
        return self.made[-1]


@pytest.mark.parametrize(
    "request_of",
    [
        Client.health,
        lambda client: client.put_image(tile_of_rgb(np.zeros((8, 8, 3), np.uint8), "tile")),
        lambda client: list(client.detect(REQUEST)),
    ],
    ids=["health", "put_image", "detect"],
)
def test_closed_while_it_connects_it_leaves_no_connection_open(server, monkeypatch, request_of):
    sockets = SlowSockets(monkeypatch)
    client = Client(server.url, TOKEN)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(request_of, client)
        assert sockets.begun.wait(PATIENCE_S)
        client.close()
        sockets.let_through.set()
        wait_for(asked.done)
    assert [each.fileno() for each in sockets.made] == [-1]


def test_closed_it_asks_nothing_more(server):
    client = Client(server.url, TOKEN)
    client.close()
    for ask in (client.health, lambda: list(client.detect(REQUEST, patience=Patience(print)))):
        with pytest.raises(ServerUnavailableError, match="closed"):
            ask()


def test_a_server_of_before_is_asked_once_how_far_off_points_may_be():
    """It refuses fields that it does not know, and is asked for no more of them."""
    asked = []
    done = '{"event":"done","points":0,"finish":"complete"}\n'

    def before(request):
        asked.append(json.loads(request.content).get("position_error"))
        if asked[-1] is None:
            return httpx.Response(200, text=done)
        message = "The request's position_error cannot be used: Extra inputs are not permitted."
        return httpx.Response(422, json={"code": "invalid", "message": message})

    client = client_of(before)
    whole = DetectRequest(image="0" * 64, mpp=0.5)
    assert [event.event for event in client.detect(whole)] == ["done"]
    assert [event.event for event in client.windows(WindowsRequest(image="0" * 64, mpp=0.5))] == [
        "done"
    ]
    assert asked == [True, None, None]

    def today(request):
        asked.append(json.loads(request.content).get("position_error"))
        return httpx.Response(200, text=done)

    asked.clear()
    client = client_of(today)
    for _ in range(2):
        list(client.detect(whole))
    assert asked == [True, True]

    def refuses(request):
        asked.append(request)
        return httpx.Response(422, json={"code": "invalid", "message": "No."})

    asked.clear()
    with pytest.raises(RequestRejectedError, match="No"):
        list(client_of(refuses).detect(whole))
    assert len(asked) == 1


def test_a_server_of_before_is_asked_again_without_the_outline():
    """It refuses fields that it does not know."""
    asked = []
    with pytest.raises(ValidationError) as refused:
        PromptPoint.model_validate({"x": 1, "y": 1, "outline": None})
    what = refused.value.errors()[0]["msg"]
    message = f"The request's prompts.0.outline cannot be used: {what}."

    def before(request):
        (prompt,) = json.loads(request.content)["prompts"]
        asked.append("outline" in prompt)
        if asked[-1]:
            return httpx.Response(422, json={"code": "invalid", "message": message})
        return httpx.Response(200, json={"masks": [], "segmenter": "sam"})

    def of(outline):
        prompt = MaskPrompt(points=[PromptPoint(x=1, y=1)], outline=outline)
        return SegmentRequest(image="0" * 64, mpp=0.5, prompts=[prompt])

    client = client_of(before)
    square = Outline(offset=(0, 0), size=(2, 2), counts=[0, 4])
    assert client.segment(of(square)).segmenter == "sam"
    assert asked == [True, False]

    def refuses(request):
        asked.append(request)
        return httpx.Response(422, json={"code": "invalid", "message": "No."})

    asked.clear()
    with pytest.raises(RequestRejectedError, match="No"):
        client_of(refuses).segment(of(None))
    assert len(asked) == 1


@pytest.mark.parametrize("among", [["Tumour"], None])
def test_a_server_of_before_is_asked_for_windows_without_what_came_later(among):
    """Once refused, it is not sent again; nothing else of the request is lost."""
    asked = []
    known = WindowsRequest.model_fields.keys() - {"among", "position_error"}
    with pytest.raises(ValidationError) as refused:
        PromptPoint.model_validate({"x": 1, "y": 1, "among": ["Tumour"]})
    what = refused.value.errors()[0]["msg"]

    def before(request):
        body = json.loads(request.content)
        asked.append(body)
        if strange := sorted(body.keys() - known):
            message = f"The request's {strange[0]} cannot be used: {what}."
            return httpx.Response(422, json={"code": "invalid", "message": message})
        end = Done(points=0, finish="complete").model_dump_json()
        return httpx.Response(200, content=end + "\n")

    client = client_of(before)
    request = WindowsRequest(image="0" * 64, mpp=0.5, model="small", priority="batch", among=among)
    for _ in range(2):
        (event,) = client.windows(request)
        assert event == Done(points=0, finish="complete")
    bare = {"image": "0" * 64, "mpp": 0.5, "model": "small", "priority": "batch"}
    more = bare | {"position_error": True}
    named = [more | {"among": among}] if among else []
    assert asked == [*named, more, bare, bare]


@pytest.mark.parametrize(
    "message",
    [
        "There is no category 'Tumour'; the model knows Positive, Negative. Ask for one of these.",
        "The request's among.0 cannot be used: Input should be a valid string.",
        "The request's region cannot be used: Extra inputs are not permitted.",
    ],
)
def test_what_a_server_refuses_for_another_reason_stays_refused(message):
    asked = []

    def refuses(request):
        asked.append(request)
        return httpx.Response(422, json={"code": "invalid", "message": message})

    request = WindowsRequest(image="0" * 64, mpp=0.5, among=["Tumour"])
    with pytest.raises(RequestRejectedError) as refused:
        list(client_of(refuses).windows(request))
    assert str(refused.value) == message
    assert len(asked) == 1
