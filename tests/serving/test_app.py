from __future__ import annotations

import io
import json
import struct
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

from napari_nunext import __version__
from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.catalog import CatalogEntry
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    Failed,
    MaskPrompt,
    Masks,
    Points,
    PromptPoint,
    SegmentRequest,
    Started,
)
from tests.waiting import PATIENCE_S, wait_for

SHA = "0" * 64


def raw(server, method, path, *, token=True, **kwargs) -> httpx.Response:
    headers = {"Authorization": server.client._http.headers["Authorization"]} if token else {}
    headers |= kwargs.pop("headers", {})
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as http:
        return http.request(method, path, headers=headers, **kwargs)


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, format="PNG")
    return file.getvalue()


def huge_png() -> bytes:
    """A file of a hundred bytes that claims to hold 100 000 x 100 000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def problem(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert set(body) == {"code", "message"}
    assert "\n" not in body["message"]
    return response.status_code, body["code"], body["message"]


# Who may ask


def test_a_stranger_learns_only_that_the_server_is_there(server):
    health = raw(server, "GET", "/healthz", token=False).json()
    assert health["status"] == "ready"
    assert health["version"] == __version__
    assert health["device"] is None
    assert health["memory_bytes"] is None
    known = server.client.health()
    assert known.device is not None
    assert known.memory_bytes > 1e6


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("PUT", f"/v1/images/{SHA}"),
        ("POST", "/v1/detect"),
        ("POST", "/v1/segment"),
        ("POST", "/v1/windows"),
        ("POST", "/v1/cancel"),
        ("GET", "/anything"),
    ],
)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic abc"])
def test_nothing_else_is_answered_without_the_token(server, method, path, header):
    headers = {} if header is None else {"Authorization": header}
    response = raw(server, method, path, token=False, headers=headers)
    assert problem(response)[:2] == (401, "unauthorised")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_openapi_document_describes_every_message(server):
    document = raw(server, "GET", "/openapi.json", token=False).json()
    assert set(document["paths"]) == {
        "/healthz",
        "/metrics",
        "/v1/models",
        "/v1/images/{sha256}",
        "/v1/detect",
        "/v1/segment",
        "/v1/answerers",
        "/v1/ask",
        "/v1/cancel",
        "/v1/windows",
    }
    assert {"DetectRequest", "SegmentReply", "Problem"} <= set(document["components"]["schemas"])


# Models


def test_models_are_listed_with_defaults_and_with_what_is_wrong(server):
    server.catalog.problems["old"] = "old has no weights. Copy it again."
    models = {(m.kind, m.id): m for m in server.client.models()}
    assert models["detector", "classical"].default
    assert models["segmenter", "classical"].default
    assert not models["detector", "slow"].default
    assert models["detector", "old"].problem == "old has no weights. Copy it again."
    assert models["detector", "classical"].categories[0].name == "Nucleus"


# Images


def test_an_image_is_sent_once(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert sha256 == pixels_sha256(rgb)
    assert raw(server, "HEAD", f"/v1/images/{sha256}").status_code == 200
    assert raw(server, "HEAD", f"/v1/images/{SHA}").status_code == 404
    assert server.client.put_image(tile_of_rgb(rgb, "tile")) == sha256


def test_pixels_that_are_not_those_of_the_hash_are_refused(server, rgb):
    status, _, message = problem(raw(server, "PUT", f"/v1/images/{SHA}", content=png(rgb)))
    assert status == 422
    assert "hash" in message
    assert raw(server, "HEAD", f"/v1/images/{SHA}").status_code == 404


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"not an image", "PNG, JPEG or TIFF"),
        (huge_png(), "pixels"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(server, content, said):
    response = raw(server, "PUT", f"/v1/images/{SHA}", content=content)
    status, _, message = problem(response)
    assert status == 422
    assert said in message


def test_a_truncated_image_is_refused(server, rgb):
    body = png(rgb)
    response = raw(
        server, "PUT", f"/v1/images/{pixels_sha256(rgb)}", content=body[: len(body) // 2]
    )
    assert problem(response)[0] == 422


def test_a_hash_that_is_none_is_refused(server, rgb):
    status, _, message = problem(raw(server, "PUT", "/v1/images/abc", content=png(rgb)))
    assert status == 422
    assert "sha256" in message


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_limit_is_refused(start, announced):
    server = start(max_body_bytes=10_000)
    content = b"x" * 20_000 if announced else iter([b"x" * 8_000] * 3)
    response = raw(server, "PUT", f"/v1/images/{SHA}", content=content)
    assert problem(response)[:2] == (413, "too_large")


def test_images_used_longest_ago_make_room(start, rgb):
    server = start(image_store_bytes=2 * rgb.nbytes + 10)
    first, second, third = (
        server.client.put_image(tile_of_rgb(np.roll(rgb, i, axis=0), "tile")) for i in range(3)
    )
    known = [raw(server, "HEAD", f"/v1/images/{h}").status_code for h in (first, second, third)]
    assert known == [404, 200, 200]
    with pytest.raises(RequestRejectedError, match="Send it again") as caught:
        list(server.client.detect(DetectRequest(image=first, mpp=0.5)))
    assert caught.value.status == 404


def test_an_image_larger_than_the_store_is_refused(start, rgb):
    server = start(image_store_bytes=rgb.nbytes - 1)
    with pytest.raises(RequestRejectedError, match="does not fit"):
        server.client.put_image(tile_of_rgb(rgb, "tile"))


# Detection


def test_the_classical_detector_finds_the_discs_and_draws_them(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    events = list(server.client.detect(DetectRequest(image=sha256, mpp=0.5, masks=True)))
    assert isinstance(events[0], Started)
    assert events[0].model.id == "classical"
    assert events[-1] == Done(points=4, finish="complete")
    found = {p.index: (p.x, p.y) for e in events if isinstance(e, Points) for p in e.points}
    for x, y in [(24, 24), (70, 30), (100, 70), (40, 72)]:
        assert min(np.hypot(px - x, py - y) for px, py in found.values()) < 2
    masks = [m for e in events if isinstance(e, Masks) for m in e.masks]
    assert len(masks) == 4
    for mask in masks:
        x, y = found[mask.index]
        m = mask.to_mask()
        assert m.to_array()[int(y) - m.y0_px, int(x) - m.x0_px]
        assert 90 < m.area_px < 250  # a disc of radius 7 has 154


def test_points_arrive_while_the_run_goes_on(server, rgb):
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow"))
    started = next(stream)
    assert started.windows > 2
    for _ in range(2):
        slow.allowed.release()
        while not isinstance(next(stream), Points):
            pass
    assert slow.steps == 2
    slow.allowed.release(started.windows)
    *_, last = stream
    assert last == Done(points=started.windows, finish="complete")


def test_hanging_up_stops_the_run(server, rgb):
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow"))
    next(stream)
    stream.close()
    assert slow.stopped.wait(PATIENCE_S)


def test_cancelling_keeps_what_was_found(server, rgb):
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow", run="mine"))
    next(stream)
    slow.allowed.release()
    while not isinstance(next(stream), Points):
        pass
    assert server.client.cancel("mine")
    *_, last = stream
    assert last == Done(points=1, finish="cancelled")
    assert slow.stopped.is_set()
    assert not server.client.cancel("mine")


def test_a_run_that_was_cancelled_before_it_arrived_does_nothing(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert not server.client.cancel("early")
    request = DetectRequest(image=sha256, mpp=0.5, model="slow", run="early")
    assert list(server.client.detect(request)) == [Done(points=0, finish="cancelled")]
    assert not server.catalog.detectors["slow"].entered.is_set()


def test_an_error_of_a_model_ends_the_run_and_not_the_server(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    events = list(server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="broken")))
    assert isinstance(events[1], Points)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "model_failed"
    assert "out of smoke" in failed.message
    assert server.client.health().status == "ready"
    assert isinstance(list(server.client.detect(DetectRequest(image=sha256, mpp=0.5)))[-1], Done)


def test_a_run_that_takes_too_long_is_stopped(start, rgb):
    server = start(max_run_s=0.2)
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow"))
    assert isinstance(last, Failed)
    assert last.code == "time_limit"


def test_silence_is_broken_by_empty_lines(start, rgb):
    server = start(keepalive_s=0.05)
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    body = {"image": sha256, "mpp": 0.5, "model": "slow", "run": "quiet"}
    lines = []
    with (
        httpx.Client(
            base_url=server.url, headers=server.client._http.headers, timeout=PATIENCE_S
        ) as http,
        http.stream("POST", "/v1/detect", json=body) as response,
    ):
        for line in response.iter_lines():
            lines.append(line)
            if lines.count("") == 3:
                server.client.cancel("quiet")
    assert json.loads(lines[0])["event"] == "started"
    assert json.loads(lines[-1])["event"] == "done"


def test_one_run_at_a_time_and_a_full_queue_says_so(start, rgb):
    server = start(waiting_jobs=1)
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))

    def request(run):
        return DetectRequest(image=sha256, mpp=0.5, model="slow", run=run)

    headers = server.client._http.headers
    with httpx.Client(
        base_url=server.url, headers=headers, trust_env=False, timeout=PATIENCE_S
    ) as http:

        def ask(run):
            return http.stream("POST", "/v1/detect", json=request(run).model_dump())

        with ask("first") as first:
            assert slow.entered.wait(PATIENCE_S)
            with ask("second") as second:
                assert second.status_code == 200
                with ask("third") as third:
                    third.read()
                assert problem(third)[:2] == (429, "busy")
                assert int(third.headers["Retry-After"]) > 0
                # One that waits and is cancelled, or hung up on, makes room.
                server.client.cancel("second")
                (only,) = second.iter_lines()
                assert json.loads(only) == {"event": "done", "points": 0, "finish": "cancelled"}
            with ask("fourth") as fourth:
                assert fourth.status_code == 200
            wait_for(lambda: not server.client.cancel("fourth"))
            with ask("fifth") as fifth:
                assert fifth.status_code == 200
                assert server.client.cancel("first")
                *_, last = first.iter_lines()
                assert json.loads(last)["finish"] == "cancelled"
                slow.allowed.release(100)
                *_, last = fifth.iter_lines()
                assert json.loads(last)["finish"] == "complete"


def test_an_id_in_use_is_refused(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    request = DetectRequest(image=sha256, mpp=0.5, model="slow", run="same")
    stream = server.client.detect(request)
    next(stream)
    with pytest.raises(RequestRejectedError) as caught:
        next(server.client.detect(request))
    assert caught.value.status == 409
    stream.close()


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"mpp": 0.0}, 422, "mpp"),
        ({"mpp": 1e9}, 422, "mpp"),
        ({"mpp": None}, 422, "mpp"),
        ({"model": "nobody"}, 404, "classical"),
        ({"model": "old"}, 422, "no weights"),
        ({"segmenter": "nobody", "masks": True}, 404, "classical"),
        ({"region": [500, 500, 600, 600]}, 422, "outside the image"),
        ({"region": [50, 50, 10, 10]}, 422, "inside out"),
        ({"region": [1, 2, 3]}, 422, "region"),
        ({"image": "1" * 64}, 404, "Send it again"),
        ({"image": "x"}, 422, "image"),
        ({"modle": "classical"}, 422, "modle"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_with_the_reason(
    server, rgb, change, status, said
):
    server.catalog.problems["old"] = "old has no weights. Copy it again."
    body = {"image": server.client.put_image(tile_of_rgb(rgb, "tile")), "mpp": 0.5} | change
    got, _, message = problem(raw(server, "POST", "/v1/detect", json=body))
    assert got == status
    assert said in message


def test_json_that_does_not_parse_is_refused(server):
    response = raw(
        server,
        "POST",
        "/v1/detect",
        content=b"{",
        headers={"Content-Type": "application/json"},
    )
    assert problem(response)[0] == 422


# Segmentation


def test_each_prompt_gets_its_mask(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    prompts = [
        MaskPrompt(points=[PromptPoint(x=x, y=y)]) for x, y in [(24, 24), (100, 70), (70, 30)]
    ]
    reply = server.client.segment(SegmentRequest(image=sha256, mpp=0.5, prompts=prompts))
    assert reply.segmenter == "classical"
    assert [m.index for m in reply.masks] == [0, 1, 2]
    for prompt, mask in zip(prompts, reply.masks, strict=True):
        m = mask.to_mask()
        x, y = prompt.points[0].x, prompt.points[0].y
        assert m.to_array()[int(y) - m.y0_px, int(x) - m.x0_px]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (MaskPrompt(), "neither a point nor a box"),
        (MaskPrompt(points=[PromptPoint(x=500, y=10)]), "outside the image"),
        (MaskPrompt(box=(50, 50, 10, 10)), "inside out"),
    ],
)
def test_a_prompt_that_points_nowhere_is_refused(server, rgb, prompt, said):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    with pytest.raises(RequestRejectedError, match=said):
        server.client.segment(SegmentRequest(image=sha256, mpp=0.5, prompts=[prompt]))


def test_a_broken_segmenter_is_told_in_a_sentence(server, rgb):
    class Broken:
        info = server.catalog.segmenters["classical"].info

        def segment(self, window, prompts, *, cancelled):
            raise RuntimeError("no ink")

    server.catalog.segmenters["broken"] = Broken()
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    prompts = [MaskPrompt(points=[PromptPoint(x=10, y=10)])]
    with pytest.raises(RequestRejectedError, match="no ink") as caught:
        server.client.segment(
            SegmentRequest(image=sha256, mpp=0.5, prompts=prompts, segmenter="broken")
        )
    assert caught.value.status == 500


# Logs


def test_logs_hold_neither_tokens_nor_hashes_nor_names(server, rgb, caplog):
    caplog.set_level("INFO", logger="napari_nunext")
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    list(server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="broken")))
    assert "Traceback" in caplog.text
    for secret in (sha256, "a-token-for-tests"):
        assert secret not in caplog.text


def test_a_client_with_a_wrong_token_is_told(server):
    with Client(server.url, "wrong") as client, pytest.raises(RequestRejectedError) as caught:
        client.models()
    assert caught.value.status == 401


def test_the_default_model_is_loaded_before_anybody_asks(start):
    server = start()
    wait_for(lambda: server.client.health().loaded == ["classical"])
    server.catalog.loaded = ()
    idle = start(preload=False)
    assert idle.client.health().loaded == []


def test_a_model_whose_process_is_away_says_when_to_ask_again(server, rgb):
    """As a checkpoint in vLLM, while vLLM starts."""
    entries = server.catalog.entries
    info = server.catalog.detectors["slow"].info
    away = CatalogEntry("nuclei", "detector", info, problem="It starts.", passing=True)
    server.catalog.entries = lambda: [*entries(), away]
    body = {
        "image": server.client.put_image(tile_of_rgb(rgb, "tile")),
        "mpp": 0.5,
        "model": "nuclei",
    }
    response = raw(server, "POST", "/v1/detect", json=body)
    assert problem(response) == (503, "model_away", "It starts.")
    assert response.headers["Retry-After"] == "5"
    assert server.client.health().problems == ["It starts."]
    (model,) = (m for m in server.client.models() if m.id == "nuclei")
    assert (model.passing, model.window_px) == (True, 32)


def test_a_run_that_loses_its_models_process_says_so(server, rgb):
    class Lost(type(server.catalog.detectors["slow"])):
        def detect(self, windows, *, cancelled):
            raise ServerUnavailableError("The vLLM server does not answer.")

    server.catalog.detectors["lost"] = Lost()
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="lost"))
    assert (last.code, last.message) == ("model_away", "The vLLM server does not answer.")
