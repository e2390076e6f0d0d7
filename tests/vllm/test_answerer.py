"""A vision-language model that a real engine serves, asked as any server is asked."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import torch

from napari_nunext.core.answers.answerer import AnswererAddress, AnswererFolder
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.geometry import Box
from napari_nunext.models.answerers.answerer import Answerer, AnswerSampling, Ended, Said
from napari_nunext.models.answerers.chat import ChatAnswerer
from napari_nunext.models.answerers.folder import FolderAnswerer, InMemory
from napari_nunext.models.next_point.sampling import Sampling
from napari_nunext.models.vllm.connection import SOCKET, VllmConnection
from napari_nunext.serving.process.engine import EngineKeeper
from nunext_training.runs.errors import TrainingError
from nunext_training.trainers.answers.vllm import AskedOfServer, VllmAnswers
from tests.answering import small_answerer
from tests.vllm.conftest import (
    ENGINE,
    ON_A_CPU,
    OPTIONS,
    wait_until_idle,
    wait_until_it_answers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_IMAGE_TOKENS = 300
CONTEXT = 1024


@dataclass(frozen=True)
class PlainLaunch:
    """A model to serve as anybody would: nothing of it is ours."""

    folder: Path

    def arguments(self, socket_path: Path) -> list[str]:
        where = [str(self.folder), "--served-model-name", "small", "--uds", str(socket_path)]
        images = ["--limit-mm-per-prompt", json.dumps({"image": 1, "video": 0})]
        return ["serve", *where, *images, f"--max-model-len={CONTEXT}", *OPTIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2.5-VL whose processor leaves pictures of up to 300 tokens as they are."""
    folder = small_answerer(tmp_path_factory.mktemp("answerer") / "small")
    sizes = {"shortest_edge": 28**2, "longest_edge": MOST_IMAGE_TOKENS * 28**2}
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        data = json.loads(path.read_text("utf-8"))
        data.get("image_processor", data)["size"] = sizes
        path.write_text(json.dumps(data), "utf-8")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The engine's socket, once it answers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ON_A_CPU.items():
            patch.setenv(name, value)
        assert ENGINE is not None
        with EngineKeeper(PlainLaunch(folder), Path(ENGINE)).running() as url:
            wait_until_it_answers(url)
            yield url


@pytest.fixture
def served(url: str) -> Iterator[ChatAnswerer]:
    """The engine's model, through the interface that all servers have."""
    transport = httpx.AsyncHTTPTransport(uds=url.removeprefix(SOCKET))
    address = AnswererAddress("vllm", "http://127.0.0.1/v1", "small")
    with closing(ChatAnswerer(address, transport=transport)) as answerer:
        yield answerer


@pytest.fixture(scope="module")
def here(folder: Path) -> FolderAnswerer:
    """The same model in this process."""
    return FolderAnswerer(AnswererFolder("small", folder), InMemory("float32"))


def picture(seed: int, sent: SentPicture) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (sent.height_px // 28, sent.width_px // 28, 3))
    return np.kron(colours, np.ones((28, 28, 1))).astype(np.uint8)


def clear_picture(here: FolderAnswerer, most: int) -> NDArray[np.uint8]:
    """A picture on which the model is never undecided: the last bits of sums differ by engine."""
    loaded = here._memory.take(here.address)
    model: Any = loaded.model
    for seed in range(99):
        rgb = picture(seed, SentPicture.of(Box(0, 0, 1000, 1000), 36))
        inputs = loaded.read(rgb, "Which dominates?", "Think.")
        made = model.generate(
            **inputs, max_new_tokens=most, output_logits=True, return_dict_in_generate=True
        )
        best_two = torch.cat(made.logits).topk(2).values
        if len(made.logits) == most and (best_two[:, 0] - best_two[:, 1]).min() > 0.01:
            return rgb
    return pytest.fail("no picture is clear to this model")


def ask(answerer: Answerer, rgb: NDArray[np.uint8], most: int) -> tuple[list[str], Ended]:
    sampling = AnswerSampling(max_tokens=most)
    said = answerer.answer(rgb, "Which dominates?", "Think.", sampling, cancelled=lambda: False)
    *pieces, ended = [each for each in said if each is not None]
    assert isinstance(ended, Ended)
    return [piece.text for piece in pieces if isinstance(piece, Said)], ended


def test_it_is_there(served: ChatAnswerer) -> None:
    assert served.problem() is None


@pytest.mark.parametrize("budget", [1, 20, 64, 256])
@pytest.mark.parametrize("sides", [(1000, 1000), (700, 90)])
def test_the_engine_counts_the_tokens_that_we_count(
    served: ChatAnswerer, here: FolderAnswerer, sides: tuple[int, int], budget: int
) -> None:
    sent = SentPicture.of(Box(0, 0, *sides), budget)
    rgb = picture(budget, sent)
    theirs, ours = (ask(each, rgb, most=1)[1] for each in (served, here))
    assert ours.image_tokens == sent.image_tokens
    assert theirs.prompt_tokens == ours.prompt_tokens


def test_an_answer_is_the_one_that_the_folder_gives(
    served: ChatAnswerer, here: FolderAnswerer
) -> None:
    rgb = clear_picture(here, most=16)
    # Into how many pieces is the engine's affair: it joins what a slow reader has not fetched.
    pieces, ended = ask(served, rgb, most=16)
    assert (ended.finish, ended.output_tokens) == ("length", 16)
    said = "".join(ask(here, rgb, most=16)[0])
    assert "".join(pieces) == said.rstrip("\ufffd")  # the engine keeps half a character to itself


def test_stopping_frees_the_engine(served: ChatAnswerer, url: str) -> None:
    rgb = picture(3, SentPicture.of(Box(0, 0, 1000, 1000), 36))
    heard: list[Said | Ended | None] = []
    said = served.answer(
        rgb,
        "Which dominates?",
        "Think.",
        AnswerSampling(max_tokens=CONTEXT // 2),
        cancelled=lambda: any(isinstance(each, Said) for each in heard),
    )
    for each in said:
        heard.append(each)
    ended = heard[-1]
    assert isinstance(ended, Ended)
    assert ended.finish == "cancelled"
    with closing(VllmConnection(url)) as connection:
        wait_until_idle(connection)


# Rollouts of ask grpo


@pytest.fixture
def rollouts(url: str) -> Iterator[VllmAnswers]:
    """What draws replies from the engine, as training asks it."""
    with closing(VllmAnswers(url)) as server:
        yield server


def asked(here: FolderAnswerer, seed: int, text: str) -> AskedOfServer:
    """A question, with the prompt that training learns from."""
    rgb = picture(seed, SentPicture.of(Box(0, 0, 1000, 1000), 16))
    inputs = here._memory.take(here.address).read(rgb, text, "Think.")
    return AskedOfServer(rgb, text, "Think.", tuple(inputs["input_ids"][0].tolist()))


def test_rollouts_are_drawn_from_the_models_distribution(
    rollouts: VllmAnswers, here: FolderAnswerer
) -> None:
    """First tokens, by how often they are drawn against the model's own probabilities."""
    count, temperature = 400, 1.3
    question = asked(here, 5, "How many?")
    loaded = here._memory.take(here.address)
    inputs = loaded.read(question.rgb, question.prompt, question.system)
    with torch.no_grad():
        logits = loaded.model(**inputs).logits[0, -1].double() / temperature
    never = logits.topk(2).indices.tolist()
    logits[never] = -torch.inf
    expected = logits.softmax(0).numpy()
    sampling = Sampling(temperature, (5,), count)
    replies = rollouts.replies([question], sampling, max_tokens=1, ends=(0,), never=never)
    counts = np.bincount([reply[0] for reply in replies], minlength=len(expected))
    assert counts.sum() == count
    assert not counts[never].any()
    spread = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(counts / count - expected) <= 4.5 * spread + 1 / count).all()
    assert (counts > 0).sum() > 5


def test_rollouts_are_those_of_their_seed_whatever_is_drawn_beside(
    rollouts: VllmAnswers, here: FolderAnswerer
) -> None:
    questions = [asked(here, 1, "How many?"), asked(here, 2, "Which dominates?")]
    many = rollouts.replies(questions, Sampling(1.0, (5, 6), 3), max_tokens=6, ends=(0,))
    alone = rollouts.replies(questions[1:], Sampling(1.0, (6,), 3), max_tokens=6, ends=(0,))
    assert alone == many[3:]
    others = rollouts.replies(questions[1:], Sampling(1.0, (7,), 3), max_tokens=6, ends=(0,))
    assert others != alone


def test_a_reply_ends_with_the_token_that_ended_it(
    rollouts: VllmAnswers, here: FolderAnswerer
) -> None:
    question, sampling = asked(here, 3, "How many?"), Sampling(1.0, (8,), 4)
    whole = rollouts.replies([question], sampling, max_tokens=8, ends=(0,))
    end = whole[0][3]
    ended = rollouts.replies([question], sampling, max_tokens=8, ends=(end, 0))
    assert ended == [reply[: reply.index(end) + 1] if end in reply else reply for reply in whole]


def test_a_server_of_another_model_is_refused(rollouts: VllmAnswers, here: FolderAnswerer) -> None:
    question = asked(here, 3, "How many?")
    other = replace(question, prompt_ids=question.prompt_ids[1:])
    with pytest.raises(TrainingError, match="Start it on this very checkpoint"):
        rollouts.replies([other], Sampling(1.0, (8,), 1), max_tokens=2, ends=(0,))
