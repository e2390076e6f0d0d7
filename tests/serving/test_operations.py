"""The server among many callers: keys, limits, turns, ends, logs and figures."""

from __future__ import annotations

import errno
import io
import json
import logging
import signal
import socket
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from napari_nunext.core.errors import InputError, RequestRejectedError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.health.failures import failure, is_disk_full, is_out_of_memory
from napari_nunext.serving.health.self_check import problems
from napari_nunext.serving.http.keys import add_key
from napari_nunext.serving.jobs.worker import SLICE_S
from napari_nunext.serving.process.logs import JsonLines
from napari_nunext.serving.protocol import DetectRequest, Done, Failed, Started
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S, wait_for

SHA = "0" * 64
SOUND = {
    "died": "",
    "step_s": 0.0,
    "out_of_memory": False,
    "default_problem": None,
    "away": (),
    "disk_bytes": 2**40,
    "memory_bytes": 2**40,
}


def http_of(server) -> httpx.Client:
    return httpx.Client(
        base_url=server.url,
        headers=server.client._http.headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )


def metric(server, name, **labels) -> float:
    with http_of(server) as http:
        text = http.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


class DeafDetector:
    """Looks up only between its steps, as a model in the middle of a forward pass."""

    def __init__(self, like):
        self.info = like.info
        self.allowed = threading.Semaphore(0)
        self.entered = threading.Event()
        self.ended = threading.Event()
        self.steps = 0

    def detect(self, windows, *, cancelled):
        try:
            for index in range(len(windows)):
                if cancelled():
                    return
                self.entered.set()
                assert self.allowed.acquire(timeout=PATIENCE_S)
                self.steps += 1
                yield WindowPoints(index, np.array([[16.0, 16.0]]), ("Nucleus",), (0.9,))
                yield WindowEnd(index, "end")
        finally:
            self.ended.set()


@pytest.fixture
def deaf(catalog) -> DeafDetector:
    catalog.detectors["deaf"] = DeafDetector(catalog.detectors["slow"])
    return catalog.detectors["deaf"]


# Who asks


def test_with_keys_each_person_gets_in_and_nobody_else(start, tmp_path):
    keys = tmp_path / "keys"
    ana, _ = add_key(keys, "ana")
    server = start(token=None, keys_file=keys)
    with Client(server.url, ana) as client:
        assert client.models()
    for wrong in ("wrong", "", "ana"):
        with Client(server.url, wrong) as client, pytest.raises(RequestRejectedError) as caught:
            client.models()
        assert caught.value.status == 401


def test_keys_open_a_server_to_other_machines(tmp_path):
    with pytest.raises(InputError, match="--keys"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="0.0.0.0", keys_file=tmp_path / "k").secret == ""


# Limits


def test_json_has_a_limit_of_its_own(start):
    server = start(max_json_bytes=1000)
    with http_of(server) as http:
        for content in (b"x" * 2000, iter([b"x" * 600] * 3)):
            response = http.post("/v1/detect", content=content)
            assert response.status_code == 413
            assert response.json()["code"] == "too_large"


def test_too_much_of_all_together_is_refused_for_the_moment(start, rgb):
    server = start(max_held_bytes=10)
    with pytest.raises(RequestRejectedError) as caught:
        server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert caught.value.status == 429


def test_an_upload_that_dribbles_is_ended(start):
    server = start(max_upload_s=0.2)
    host, port = server.url.removeprefix("http://").split(":")
    header = server.client._http.headers["Authorization"]
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as dribble:
        dribble.sendall(
            f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        )
        answer = dribble.recv(4096).decode()
    assert " 408 " in answer.splitlines()[0]


def test_an_image_of_too_many_pixels_is_refused_by_its_header(start, rgb):
    server = start(max_image_pixels=rgb.shape[0] * rgb.shape[1] - 1)
    with pytest.raises(RequestRejectedError, match="million pixels") as caught:
        server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert caught.value.status == 422


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_bomb_is_refused_before_it_goes_off(start, kind):
    server = start(max_image_pixels=10_000_000)
    file = io.BytesIO()
    compression = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    Image.new("1", (4000, 4000), 1).save(file, format=kind, **compression)
    assert len(file.getvalue()) < 20_000  # for 48 MB
    with http_of(server) as http:
        response = http.put(f"/v1/images/{SHA}", content=file.getvalue())
    assert response.status_code == 422
    assert "million pixels" in response.json()["message"]


def test_one_users_requests_do_not_fill_the_queue_for_others(start, rgb, tmp_path):
    keys = tmp_path / "keys"
    bo, _ = add_key(keys, "bo")
    server = start(keys_file=keys, waiting_jobs=8, waiting_per_user=1)
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))

    def ask(http):
        return http.stream(
            "POST", "/v1/detect", json={"image": sha256, "mpp": 0.5, "model": "slow"}
        )

    with http_of(server) as mine, Client(server.url, bo) as his, ask(mine), ask(mine):
        assert slow.entered.wait(PATIENCE_S)
        with ask(mine) as third:
            third.read()
        assert third.status_code == 429
        assert "your requests" in third.json()["message"]
        assert int(third.headers["Retry-After"]) >= 1
        stream = his.detect(DetectRequest(image=sha256, mpp=0.5, model="classical"))
        slow.allowed.release(1000)
        assert isinstance(list(stream)[-1], Done)


def test_behind_a_proxy_on_this_machine_shares_go_by_the_callers_address(start, rgb):
    server = start(waiting_per_user=1)
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))

    def ask(http, address):
        body = {"image": sha256, "mpp": 0.5, "model": "slow"}
        return http.stream("POST", "/v1/detect", json=body, headers={"X-Forwarded-For": address})

    with http_of(server) as http, ask(http, "10.0.0.1"), ask(http, "10.0.0.1"):
        assert slow.entered.wait(PATIENCE_S)
        with ask(http, "10.0.0.1") as third, ask(http, "10.0.0.2") as other:
            assert (third.status_code, other.status_code) == (429, 200)
            slow.allowed.release(1000)


# Turns


def test_a_small_request_does_not_wait_for_the_end_of_a_large_one(server, deaf, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    large = server.client.detect(
        DetectRequest(image=sha256, mpp=0.5, model="deaf", priority="batch")
    )
    assert isinstance(next(large), Started)
    assert deaf.entered.wait(PATIENCE_S)
    answer = []
    small = threading.Thread(
        target=lambda: answer.extend(
            server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="classical"))
        )
    )
    small.start()
    wait_for(lambda: metric(server, "nunext_jobs_waiting") == 1)
    time.sleep(SLICE_S)  # so that the turn of the large one is over after this step
    deaf.allowed.release()
    small.join(PATIENCE_S)
    assert answer[-1] == Done(points=4, finish="complete")
    assert deaf.steps == 1
    large.close()
    deaf.allowed.release(1000)


def test_hanging_up_frees_the_model_within_one_step(server, deaf, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="deaf", run="gone"))
    next(stream)
    assert deaf.entered.wait(PATIENCE_S)
    stream.close()
    wait_for(lambda: not server.client.cancel("gone"))
    deaf.allowed.release(1000)
    assert deaf.ended.wait(PATIENCE_S)
    assert deaf.steps == 1  # the one that it was in the middle of
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5))
    assert last == Done(points=4, finish="complete")


def test_who_waits_too_long_is_told(start, rgb, monkeypatch):
    server = start(runs_at_once=1)
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    request = DetectRequest(image=sha256, mpp=0.5, model="slow")
    first = server.client.detect(request)
    next(first)
    assert slow.entered.wait(PATIENCE_S)
    desk = server.process._service._desk
    monkeypatch.setattr(desk, "_settings", replace(desk._settings, max_wait_s=0.1))
    (told,) = server.client.detect(request)
    assert isinstance(told, Failed)
    assert told.code == "busy"
    first.close()


# Failures


class Failing:
    def __init__(self, like, error):
        self.info = like.info
        self.error = error

    def detect(self, windows, *, cancelled):
        raise self.error
        yield


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (SystemExit(3), "model_failed"),
        (ValueError("shapes"), "model_failed"),
    ],
)
def test_a_model_that_breaks_is_said_in_words_and_others_go_on(server, rgb, error, code):
    catalog = server.catalog
    catalog.detectors["failing"] = Failing(catalog.detectors["slow"], error)
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="failing"))
    assert isinstance(last, Failed)
    assert last.code == code
    said = server.client.health().problems
    assert any("want of memory" in line for line in said) == (code == "out_of_memory")
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5))
    assert isinstance(last, Done)
    assert not any("want of memory" in line for line in server.client.health().problems)


def test_torchs_own_errors_are_known():
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    assert "ValueError: a b" in failure("X", ValueError("a\nb")).message


def test_a_full_disk_is_said_when_an_image_is_sent(server, rgb, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(server.process._service.images, "take_in", full)
    with pytest.raises(RequestRejectedError, match="disk") as caught:
        server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert caught.value.status == 507


def test_a_model_that_hangs_ends_the_server_and_its_callers_are_told(start, deaf, rgb):
    server = start(max_step_s=0.3)
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    *_, last = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="deaf"))
    assert isinstance(last, Failed)
    assert last.code == "hangs"
    deaf.allowed.release(1000)
    server.thread.join(PATIENCE_S)
    assert not server.thread.is_alive()
    assert server.process.hung


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"disk_bytes": 2**20}, "1 MiB left"),
        ({"disk_bytes": None}, "cannot be written"),
        ({"memory_bytes": 2**20}, "1 MiB of memory"),
        ({"out_of_memory": True}, "want of memory"),
        ({"default_problem": "No weights."}, "No weights."),
        ({"step_s": 600.0}, "10 min"),
        ({"died": "It crashed."}, "It crashed."),
        ({"away": ["vLLM starts.", None, "vLLM starts."]}, "vLLM starts."),
    ],
)
def test_the_server_says_what_is_wrong_with_it(change, said):
    assert problems(**SOUND) == []
    (line,) = problems(**SOUND | change)
    assert said in line
    assert line.endswith(".")


# The end


def test_told_to_end_it_finishes_what_runs_and_refuses_what_is_new(start, rgb):
    server = start(drain_s=60)
    slow = server.catalog.detectors["slow"]
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow"))
    windows = next(stream).windows
    server.process.handle_exit(signal.SIGTERM, None)
    assert server.client.health().status == "draining"
    with http_of(server) as http:
        for response in (
            http.post("/v1/detect", json={"image": sha256, "mpp": 0.5}),
            http.post("/v1/segment", json={"image": sha256, "mpp": 0.5, "prompts": []}),
            http.put(f"/v1/images/{SHA}", content=b"x"),
        ):
            assert response.status_code == 503
            assert response.json()["code"] == "draining"
            assert int(response.headers["Retry-After"]) > 0
    slow.allowed.release(1000)
    *_, last = stream
    assert last == Done(points=windows, finish="complete")
    server.thread.join(PATIENCE_S)
    assert not server.thread.is_alive()


def test_what_does_not_end_in_time_is_stopped_and_keeps_what_it_found(start, rgb):
    server = start(drain_s=0.2)
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    stream = server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="slow"))
    next(stream)
    server.process.handle_exit(signal.SIGTERM, None)
    *_, last = stream
    assert last == Done(points=0, finish="cancelled")
    server.thread.join(PATIENCE_S)
    assert not server.thread.is_alive()


# Logs and figures


def test_a_request_is_logged_without_what_it_was_about(server, rgb, caplog):
    caplog.set_level("DEBUG", logger="napari_nunext")
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    list(server.client.detect(DetectRequest(image=sha256, mpp=0.5)))
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as stranger:
        stranger.get("/patients/jane-doe.tif")
    wait_for(lambda: "other" in caplog.text)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    facts = {(line["method"], line["route"]): line for line in lines if "route" in line}
    put = facts["PUT", "/v1/images/{sha256}"]
    assert put["status"] == 200
    assert put["user"] == "token"
    assert put["seconds"] > 0
    assert facts["other", "other"]["user"] is None
    for secret in (sha256, "a-token-for-tests", "jane-doe"):
        assert secret not in json.dumps(lines)


def test_json_logs_are_one_line_each_with_their_traceback():
    try:
        raise ValueError("no\nink")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f.py", 1, "it %s", ("broke\nhere",), exc_info=True
        )
        import sys

        record.exc_info = sys.exc_info()
    line = JsonLines().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["message"] == "it broke\nhere"
    assert "ValueError: no\nink" in parsed["traceback"]
    assert parsed["level"] == "error"


def test_figures_count_what_happened(server, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert sha256 == pixels_sha256(rgb)
    for _ in range(2):
        list(server.client.detect(DetectRequest(image=sha256, mpp=0.5)))
    list(server.client.detect(DetectRequest(image=sha256, mpp=0.5, model="broken")))
    assert metric(server, "nunext_jobs_total", kind="detect", outcome="complete") == 2
    assert metric(server, "nunext_jobs_total", kind="detect", outcome="failed") == 1
    assert metric(server, "nunext_points_total") == 9
    assert metric(server, "nunext_images_bytes") == rgb.nbytes
    put = {"method": "PUT", "route": "/v1/images/{sha256}", "status": "200"}
    assert metric(server, "nunext_requests_total", **put) == 1
    assert metric(server, "nunext_job_wait_seconds_count", urgency="interactive") == 3
    assert metric(server, "nunext_memory_bytes") > 1e6


def test_figures_are_not_for_strangers(server):
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as stranger:
        assert stranger.get("/metrics").status_code == 401
