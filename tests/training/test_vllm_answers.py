"""A server stands in for vLLM: it answers with the weights it was sent, drawn as training draws."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.loaded import Drawn, load_answerer
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.runs.errors import TrainingError
from nunext_training.stages import answers
from nunext_training.stages.answers import AnswerJob, run_answers
from nunext_training.trainers.answers import by_trl
from nunext_training.trainers.answers.vllm import AskedOfServer, VllmAnswers
from tests.training.shared_asking import rewarded_by_letters
from tests.training.test_answers import Heard
from tests.training.test_processes import same_metrics, same_weights
from tests.training.test_vllm_rollouts import serve

__all__ = ["serve"]
torch.set_num_threads(1)
SAMPLING = Sampling(1.0, (5,), 2)


class Engine:
    """What the stand-in answers with, and what it was asked."""

    def __init__(self, folder):
        self.loaded = load_answerer(AnswererFolder("it", folder), "float32")
        self.loaded.processor.image_processor.do_resize = False
        self.requests = []
        self.shown = list
        self.says = None

    def models(self):
        return {"object": "list", "data": [{"id": "served", "object": "model"}]}

    def complete(self, body):
        self.requests.append(body)
        system, user = body["messages"]
        picture, text = user["content"]
        data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
        rgb = np.asarray(Image.open(io.BytesIO(data)))
        inputs = self.loaded.read(rgb, text["text"], system["content"])
        ids = inputs["input_ids"]
        never = [int(token) for token, bias in body["logit_bias"].items() if bias == -100]
        drawn = Drawn(Sampling(body["temperature"], (body["seed"],), body["n"]), never)
        said = self.loaded.model.generate(
            **{name: torch.cat([tensor] * body["n"]) for name, tensor in inputs.items()},
            max_new_tokens=body["max_tokens"],
            logits_processor=[drawn],
        )[:, ids.shape[1] :].tolist()
        choices = [self._choice(i, reply, body["stop_token_ids"]) for i, reply in enumerate(said)]
        return 200, {"choices": choices[::-1], "prompt_token_ids": self.shown(ids[0].tolist())}

    def _choice(self, index, reply, ends):
        at = next((i for i, token in enumerate(reply) if token in ends), None)
        return {
            "index": index,
            "token_ids": (reply if at is None else reply[:at]) if self.says is None else self.says,
            "finish_reason": "length" if at is None else "stop",
            "stop_reason": None if at is None else reply[at],
            "message": {"role": "assistant", "content": ""},
        }


@pytest.fixture
def asked(answerer_folder, rng):
    """A question, as training has it."""
    rgb = rng.integers(0, 256, (28, 56, 3), dtype=np.uint8)
    loaded = load_answerer(AnswererFolder("it", answerer_folder), "float32")
    ids = loaded.read(rgb, "How many?", "Think.")["input_ids"][0].tolist()
    return AskedOfServer(rgb, "How many?", "Think.", tuple(ids))


def replies_of(server, asked, ends=(0,)):
    return server.replies([asked], SAMPLING, max_tokens=4, ends=ends)


@pytest.fixture
def connect(serve):
    servers = []

    def start(engine):
        servers.append(VllmAnswers(serve(engine), pause_s=0.001))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_each_request_is_for_all_replies_to_a_question(answerer_folder, asked, connect):
    engine = Engine(answerer_folder)
    replies = replies_of(connect(engine), asked)
    assert len(replies) == 2
    (request,) = engine.requests
    assert (request["n"], request["seed"], request["max_tokens"]) == (2, 5, 4)
    assert request["stop_token_ids"] == [0]
    assert "vllm_xargs" not in request


def test_a_reply_has_the_token_that_ended_it(answerer_folder, asked, connect):
    engine = Engine(answerer_folder)
    server = connect(engine)
    plain = replies_of(server, asked)
    first = plain[0][1]
    ended = replies_of(server, asked, ends=(first, 0))
    assert ended[0] == plain[0][: plain[0].index(first) + 1]


@pytest.mark.parametrize("says", [[], [1] * 5])
def test_replies_of_another_length_are_refused(answerer_folder, asked, connect, says):
    engine = Engine(answerer_folder)
    engine.says = says
    with pytest.raises(TrainingError, match=r"expected 1 to 4 of each.*--resume"):
        replies_of(connect(engine), asked)


def test_another_prompt_is_refused(answerer_folder, asked, connect):
    engine = Engine(answerer_folder)
    engine.shown = lambda ids: ids[1:]
    with pytest.raises(TrainingError, match="Start it on this very checkpoint"):
        replies_of(connect(engine), asked)


def test_a_method_that_draws_nothing_takes_no_server(answers_export, answerer_folder, tmp_path):
    recipe = load_recipe("ask_small")
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "new", recipe, vllm="http://x")
    with pytest.raises(InputError, match="Leave out --vllm"):
        run_answers(job, Heard())


def test_a_run_that_a_server_answers_for_is_the_run_without_one(
    answers_export, answerer_folder, serve, tmp_path, monkeypatch
):
    """The server gets the weights before every step, as TRL's sender would bring them."""
    engine, sent = Engine(answerer_folder), []

    def sender(model, accelerator, processor, url):
        def sync_weights():
            engine.loaded.model.load_state_dict(accelerator.unwrap_model(model).state_dict())
            sent.append(url)

        return SimpleNamespace(sync_weights=sync_weights)

    monkeypatch.setattr(by_trl, "weight_sender", sender)
    monkeypatch.setattr(answers, "check_vllm", lambda: None)
    recipe = changed(
        load_recipe("ask_small"),
        optimiser={"steps": 2, "batch_size": 4, "warmup_steps": 0, "lr": 1e-3},
        ask={"budget": 4, "rollouts": 2, "max_tokens": 6, "thought": "prose"},
    )
    url = serve(engine)
    given = (answers_export,), answerer_folder
    with rewarded_by_letters():
        for name, server in (("alone", None), ("served", url)):
            job = AnswerJob(*given, tmp_path / name, recipe, method="grpo", vllm=server)
            run_answers(job, Heard())
    assert sent == [url] * 2
    ours, theirs = (tmp_path / name for name in ("served", "alone"))
    same_metrics(ours / "metrics.jsonl", theirs / "metrics.jsonl")
    same_weights(ours / "model.safetensors", theirs / "model.safetensors")
    about = json.loads((tmp_path / "served" / "training.json").read_text())
    assert about["provenance"]["rollouts_from"] == "vllm"
    steps = (tmp_path / "served" / "metrics.jsonl").read_text().splitlines()
    assert min(json.loads(step)["grad_norm"] for step in steps) > 0.1
