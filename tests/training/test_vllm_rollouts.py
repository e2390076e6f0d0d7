"""A server stands in for vLLM: it checks every field, and decodes with the weights it was sent."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.runs.errors import TrainingError
from nunext_training.stages import rft
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.trainers import grpo as rft_trainer
from nunext_training.trainers.rollouts import decode_windows
from nunext_training.trainers.vllm_rollouts import VllmServer, check_vllm

RECIPE = """
[windows]
scale_range = [1.0, 1.0]
[validation]
images = 1
[rft]
steps = 3
windows_per_step = 2
rollouts = 3
lr = 3e-3
warmup_steps = 0
validate_every = 10
min_std = 0.0
coordinate_temperature = 0.5
"""
MAX_POINTS = 4


class Engine:
    """What the stand-in decodes with, and what it was asked."""

    def __init__(self, loaded):
        self.loaded = loaded
        self.requests = []
        self.failures = 0
        self.says = None
        self.shown_prompt = list(loaded.windows.prompt_ids)
        self.lock = threading.Lock()

    def models(self):
        return {"object": "list", "data": [{"id": "served", "object": "model"}]}

    def complete(self, body):
        with self.lock:
            self.requests.append(body)
            if self.failures:
                self.failures -= 1
                return 503, {"error": "overloaded"}
            url = body["messages"][0]["content"][0]["image_url"]["url"]
            data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
            window = np.asarray(Image.open(io.BytesIO(data)))
            max_points = (body["max_tokens"] + 1) // 3
            decoded = decode_windows(
                self.loaded,
                self.loaded.model,
                [window],
                max_points=max_points,
                sampling=Sampling(
                    *(body["temperature"], (body["seed"],), body["n"]),
                    coordinate_temperature=body["vllm_xargs"].get("nunext_coordinates", 1.0),
                ),
            )
        end = self.loaded.description.codec.end_id
        choices = [
            {
                "index": i,
                # The end stops a reply; vLLM tells it as the reason.
                "token_ids": self.says or [t for t in reply if t != end],
                "finish_reason": "stop" if end in reply else "length",
                "message": {"role": "assistant", "content": ""},
            }
            for i, reply in enumerate(decoded.replies)
        ]
        return 200, {"choices": choices[::-1], "prompt_token_ids": self.shown_prompt}


@pytest.fixture
def serve():
    """``serve(engine)``: the address of a server."""
    servers = []

    def start(engine):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200, engine.models())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/v1/chat/completions"
                self.answer(*engine.complete(body))

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def connect(serve):
    """``connect(engine)``: a server of the engine, asked as training asks it."""
    servers = []

    def start(engine):
        servers.append(VllmServer(serve(engine), engine.loaded, pause_s=0.001))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def loaded(checkpoint):
    return load_checkpoint(checkpoint, dtype=torch.float32)


def noise(n):
    return list(np.random.default_rng(3).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8))


def test_a_server_says_what_the_model_itself_would(loaded, connect):
    engine = Engine(loaded)
    server = connect(engine)
    sampling = Sampling(0.9, (5, 6), 3, coordinate_temperature=0.3)
    got = server.replies(noise(2), sampling, max_points=MAX_POINTS)
    expected = decode_windows(
        loaded, loaded.model, noise(2), max_points=MAX_POINTS, sampling=sampling
    )
    assert got == expected.replies
    assert sorted(request["seed"] for request in engine.requests) == [5, 6]


def test_each_request_is_for_all_rollouts_of_a_window_under_the_grammar(connect, loaded):
    engine = Engine(loaded)
    connect(engine).replies(noise(1), Sampling(0.9, (5,), 3), max_points=MAX_POINTS)
    (request,) = engine.requests
    assert request["model"] == "served"
    assert (request["n"], request["seed"]) == (3, 5)
    assert request["temperature"] == 0.9
    assert request["max_tokens"] == 3 * MAX_POINTS
    assert "nunext_points" in request["vllm_xargs"]
    assert request["messages"][0]["content"][1]["text"] == loaded.description.prompt


def test_latent_tokens_are_forced(connect, category_checkpoint):
    engine = Engine(load_checkpoint(category_checkpoint, dtype=torch.float32))
    connect(engine).replies(noise(1), Sampling(1.0, (5,), 2), max_points=2)
    (request,) = engine.requests
    assert request["messages"][1] == {"role": "assistant", "content": "<|latent_0|><|latent_1|>"}


def test_a_server_that_breaks_the_grammar_is_refused(connect, loaded):
    engine = Engine(loaded)
    engine.says = [loaded.description.codec.separator_id]
    with pytest.raises(TrainingError, match=r"does not hold to the grammar.*--resume"):
        connect(engine).replies(noise(1), Sampling(1.0, (5,), 2), max_points=2)


def test_another_prompt_is_refused(loaded, connect):
    engine = Engine(loaded)
    engine.shown_prompt = engine.shown_prompt[1:]
    server = connect(engine)
    with pytest.raises(TrainingError, match="Start it on this very checkpoint"):
        server.replies(noise(1), Sampling(1.0, (5,), 2), max_points=2)


def test_an_overloaded_server_is_asked_again(loaded, connect):
    engine = Engine(loaded)
    engine.failures = 2
    server = connect(engine)
    assert len(server.replies(noise(1), Sampling(1.0, (5,), 2), max_points=2)) == 2
    assert len(engine.requests) == 3
    engine.failures = 99
    with pytest.raises(TrainingError, match=r"status 503.*--resume"):
        server.replies(noise(1), Sampling(1.0, (5,), 2), max_points=2)


def test_no_server_is_said_plainly(loaded):
    with pytest.raises(InputError, match="No vLLM server answers at"):
        VllmServer("http://127.0.0.1:9/", loaded)


def test_without_vllm_weights_cannot_be_sent(monkeypatch):
    monkeypatch.setattr("nunext_training.trainers.vllm_rollouts.is_vllm_available", lambda: False)
    with pytest.raises(InputError, match="leave out --vllm"):
        check_vllm()


def test_a_run_that_a_server_decodes_for_is_the_run_without_one(
    tmp_path, train_only_export, checkpoint, serve, recorder, monkeypatch
):
    """The server gets the weights before every step, as TRL's sender would bring them."""
    engine = Engine(load_checkpoint(checkpoint, dtype=torch.float32))
    sent = []

    def sender(model, accelerator, processor, url):
        def sync_weights():
            engine.loaded.model.load_state_dict(accelerator.unwrap_model(model).state_dict())
            sent.append(url)

        return SimpleNamespace(sync_weights=sync_weights)

    monkeypatch.setattr(rft_trainer, "weight_sender", sender)
    monkeypatch.setattr(rft, "check_vllm", lambda: None)
    recipe = parse_recipe(RECIPE, "served")
    url = serve(engine)
    alone = RftJob((train_only_export,), checkpoint, tmp_path / "alone", recipe)
    served = replace(alone, out=tmp_path / "served", vllm=url)
    run_rft(alone, recorder)
    run_rft(served, recorder)
    assert sent == [url] * 3
    ours, theirs = (json.loads((j.out / "nunext.json").read_text()) for j in (served, alone))
    assert ours["provenance"]["rollouts_from"] == "vllm"
    assert "rollouts_from" not in theirs["provenance"]
    ours, theirs = (
        [json.loads(line) for line in (j.out / "metrics.jsonl").read_text().splitlines()]
        for j in (served, alone)
    )
    assert ours == theirs
    assert len({entry["reward"] for entry in ours}) > 1
