"""What every kind of job has for nothing, shown of those that there are and of one made up here."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from functools import partial
from typing import Annotated, Literal

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from napari_nunext.core.errors import InputError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from napari_nunext.serving.jobs.kind import Kind, Outcome, Prepared
from napari_nunext.serving.jobs.kinds import KINDS
from napari_nunext.serving.jobs.worker import SLICE_S
from napari_nunext.serving.protocol import DetectRequest, Done, Event, Failed, JobRequest
from tests.waiting import PATIENCE_S, wait_for

STEPS = 24


# A kind of job: its messages, and the work.


class CountRequest(JobRequest):
    """Count so far."""

    upto: int


class Counted(Event):
    """A number."""

    event: Literal["counted"] = "counted"
    number: int


class CountDone(Event):
    """Last event."""

    event: Literal["done"] = "done"
    finish: Literal["complete", "cancelled"]


class Gate:
    """Lets a model make its steps, and sees what becomes of it."""

    def __init__(self):
        self.allowed = threading.Semaphore(0)
        self.entered = threading.Event()
        self.steps = 0

    def step(self):
        """Blocks the models' thread, as a model does: it looks up only between steps."""
        self.entered.set()
        assert self.allowed.acquire(timeout=PATIENCE_S)
        self.steps += 1


gates: dict[str, Gate] = {}


class Count(Kind[CountRequest]):
    """Count aloud."""

    name = "count"
    request = CountRequest
    answer = Annotated[Counted | CountDone | Failed, Field(discriminator="event")]

    async def prepare(self, request, image):
        if request.upto > image.box.width:
            raise InputError("The image is not so wide.")
        unbegun = CountDone(finish="cancelled")
        return Prepared("the abacus", partial(self._steps, request.upto), unbegun)

    def _steps(self, upto, work):
        for number in range(upto):
            if work.cancelled():
                break
            gates["count"].step()
            yield Counted(number=number)
        finish = "cancelled" if work.cancelled() else "complete"
        return Outcome(CountDone(finish=finish), finish)


class GatedDetector:
    """Finds a nucleus a window, when it may."""

    def __init__(self, like, gate):
        self.info, self._gate = like.info, gate

    def detect(self, windows, *, cancelled):
        from napari_nunext.models.detector import WindowEnd, WindowPoints

        for index in range(len(windows)):
            if cancelled():
                return
            self._gate.step()
            yield WindowPoints(index, np.array([[16.0, 16.0]]), ("Nucleus",), (0.9,))
            yield WindowEnd(index, "end")


class GatedSegmenter:
    """Draws a mask a window, when it may."""

    info = SegmenterInfo("Gated", "fake", mpp=0.5, window_px=32)

    def __init__(self, gate):
        self._gate = gate

    def segment(self, window, prompts, *, cancelled):
        for _ in prompts:
            if cancelled():
                return
            self._gate.step()
            yield ScoredMask(Mask.from_array(np.ones((2, 2), dtype=bool)), 1.0)


PROMPTS = [
    {"points": [{"x": 10 + 20 * column, "y": 10 + 24 * row}]}
    for row in range(4)
    for column in range(6)
]
BODIES = {
    "detect": {"model": "gated"},
    "segment": {"segmenter": "gated", "prompts": PROMPTS},
    "count": {"upto": STEPS},
}


class Asked:
    """A kind of job, at a server that does it in some steps."""

    def __init__(self, server, kind, sha256, gate):
        self.server, self.kind, self.gate = server, kind, gate
        self.streams = kind != "segment"
        self.body = {"image": sha256, "mpp": 0.5} | BODIES[kind]
        self.http = httpx.Client(
            base_url=server.url,
            headers=server.client._http.headers,
            trust_env=False,
            timeout=PATIENCE_S,
        )

    def stream(self, **fields):
        return self.http.stream("POST", f"/v1/{self.kind}", json=self.body | fields)

    def in_background(self, **fields):
        """Ask, and return where its last line and its status will be."""
        heard = {}

        def ask():
            response = self.http.post(f"/v1/{self.kind}", json=self.body | fields)
            heard["status"] = response.status_code
            heard["last"] = json.loads(response.text.splitlines()[-1])

        thread = threading.Thread(target=ask)
        thread.start()
        return heard, thread

    def counted(self, outcome):
        text = self.http.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "nunext_jobs_total"
            and sample.labels == {"kind": self.kind, "outcome": outcome}
        )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr("napari_nunext.serving.service.KINDS", [*KINDS, Count])


@pytest.fixture(params=["detect", "segment", "count"])
def asked(request, start, catalog, rgb):
    gate = gates[request.param] = Gate()
    catalog.detectors["gated"] = GatedDetector(catalog.detectors["slow"], gate)
    catalog.segmenters["gated"] = GatedSegmenter(gate)
    server = start(drain_s=60)
    asked = Asked(server, request.param, server.client.put_image(tile_of_rgb(rgb, "tile")), gate)
    yield asked
    gate.allowed.release(1000)
    asked.http.close()


class TestAnyJob:
    def test_its_answer_comes_as_it_is_made_or_whole(self, asked):
        if asked.streams:
            with asked.stream() as response:
                lines = (json.loads(line) for line in response.iter_lines() if line)
                asked.gate.allowed.release()
                while next(lines)["event"] not in ("points", "counted"):
                    pass
                assert asked.gate.steps == 1
                asked.gate.allowed.release(1000)
                *_, last = lines
            assert (last["event"], last["finish"]) == ("done", "complete")
        else:
            asked.gate.allowed.release(1000)
            answer = asked.http.post("/v1/segment", json=asked.body).json()
            assert [mask["index"] for mask in answer["masks"]] == list(range(STEPS))
        assert asked.gate.steps >= STEPS
        wait_for(lambda: asked.counted("complete") == 1)

    def test_it_is_cancelled_at_its_next_step(self, asked):
        heard, thread = asked.in_background(run="mine")
        assert asked.gate.entered.wait(PATIENCE_S)
        assert asked.server.client.cancel("mine")
        asked.gate.allowed.release(1000)
        thread.join(PATIENCE_S)
        said = (heard["status"], heard["last"].get("finish"), heard["last"].get("code"))
        assert said == ((200, "cancelled", None) if asked.streams else (409, None, "cancelled"))
        assert asked.gate.steps == 1
        wait_for(lambda: asked.counted("cancelled") == 1)
        assert not asked.server.client.cancel("mine")

    def test_cancelled_before_it_arrives_it_does_nothing(self, asked):
        assert not asked.server.client.cancel("early")
        heard, thread = asked.in_background(run="early")
        thread.join(PATIENCE_S)
        assert heard["status"] == (200 if asked.streams else 409)
        assert not asked.gate.entered.is_set()

    def test_hanging_up_frees_the_model_within_a_step(self, asked):
        body = json.dumps(asked.body | {"run": "gone"}).encode()
        head = f"POST /v1/{asked.kind} HTTP/1.1\r\nHost: server\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n"
        head += f"Authorization: {asked.http.headers['Authorization']}\r\n\r\n"
        address = httpx.URL(asked.server.url)
        with socket.create_connection((address.host, address.port)) as connection:
            connection.sendall(head.encode() + body)
            assert asked.gate.entered.wait(PATIENCE_S)
        wait_for(lambda: not asked.server.process._service._desk._open)
        asked.gate.allowed.release(1000)
        wait_for(lambda: asked.counted("cancelled") == 1)
        assert asked.gate.steps == 1

    def test_an_id_in_use_is_refused(self, asked):
        _, thread = asked.in_background(run="same")
        assert asked.gate.entered.wait(PATIENCE_S)
        heard, second = asked.in_background(run="same")
        second.join(PATIENCE_S)
        assert (heard["status"], heard["last"]["code"]) == (409, "run_exists")
        asked.gate.allowed.release(1000)
        thread.join(PATIENCE_S)

    def test_a_server_that_is_told_to_end_lets_it_finish_and_takes_no_other(self, asked):
        heard, thread = asked.in_background()
        assert asked.gate.entered.wait(PATIENCE_S)
        asked.server.process.handle_exit(signal.SIGTERM, None)
        refused, second = asked.in_background()
        second.join(PATIENCE_S)
        assert (refused["status"], refused["last"]["code"]) == (503, "draining")
        asked.gate.allowed.release(1000)
        thread.join(PATIENCE_S)
        assert heard["status"] == 200
        assert heard["last"].get("finish", "complete") == "complete"
        asked.server.thread.join(PATIENCE_S)
        assert not asked.server.thread.is_alive()

    def test_others_take_their_turn_between_its_steps(self, asked):
        _, thread = asked.in_background()
        assert asked.gate.entered.wait(PATIENCE_S)
        other = DetectRequest(image=asked.body["image"], mpp=0.5, model="classical")
        answer = []
        small = threading.Thread(target=lambda: answer.extend(asked.server.client.detect(other)))
        small.start()
        wait_for(lambda: asked.server.process._service._worker.waiting == 1)
        while small.is_alive():
            time.sleep(1.5 * SLICE_S)  # so that its turn is over after this step
            asked.gate.allowed.release()
        assert answer[-1] == Done(points=4, finish="complete")
        assert asked.gate.steps < STEPS
        asked.gate.allowed.release(1000)
        thread.join(PATIENCE_S)

    def test_what_breaks_it_is_said_and_the_server_lives_on(self, asked, monkeypatch):
        def broken(_):
            raise RuntimeError("out of smoke")

        monkeypatch.setattr(Gate, "step", broken)
        heard, thread = asked.in_background()
        thread.join(PATIENCE_S)
        assert heard["status"] == (200 if asked.streams else 500)
        assert heard["last"]["code"] == "model_failed"
        assert "out of smoke" in heard["last"]["message"]
        wait_for(lambda: asked.counted("failed") == 1)  # after it was said
        assert asked.server.client.health().status == "ready"

    def test_it_is_in_the_document(self, asked):
        document = asked.http.get("/openapi.json").json()
        (kind,) = (kind for kind in [*KINDS, Count] if kind.name == asked.kind)
        path = document["paths"][f"/v1/{asked.kind}"]["post"]
        assert path["description"] == kind.__doc__
        assert kind.request.__name__ in document["components"]["schemas"]
        media = "application/x-ndjson" if asked.streams else "application/json"
        answer = path["responses"]["200"]["content"][media]["schema"]
        named = {ref["$ref"] for ref in answer.get("oneOf", [answer])}
        assert named <= {f"#/components/schemas/{n}" for n in document["components"]["schemas"]}
        assert "#/components/schemas/Failed" in named or not asked.streams


def test_what_does_not_fit_the_image_is_refused(start, rgb):
    server = start()
    asked = Asked(
        server,
        "count",
        server.client.put_image(tile_of_rgb(rgb, "tile")),
        gates.setdefault("count", Gate()),
    )
    answer = asked.http.post("/v1/count", json=asked.body | {"upto": 10_000})
    assert (answer.status_code, answer.json()["message"]) == (422, "The image is not so wide.")
    asked.http.close()
