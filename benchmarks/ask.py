"""A model in a folder: how long until it speaks, and what asking it through a server costs.

The model has random weights: 10 M of them, in the layout of Qwen2.5-VL. What weights say does not
change what a token costs, and with the larger ones that people have, each token takes longer while
the server's part of it stays the same. Both sides use one thread; they take turns, and the median
of each counts: one quick answer by itself says nothing.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from benchmarks._harness import Claim, report
from benchmarks.many_clients import shared_server
from benchmarks.serving import MPP, tile
from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.prompts import SYSTEM, Question
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from napari_nunext.models.answerers.folder import FolderAnswerer, InMemory
from napari_nunext.models.answerers.picture import draw
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.families import ModelSize
from napari_nunext.serving.ask_protocol import Answered, AskRequest, AskText
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.http.keys import add_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.core.image.source import ImageSource

SIZE = ModelSize(
    patch_px=14,
    merge=2,
    vision_width=192,
    vision_layers=4,
    vision_heads=3,
    width=384,
    layers=6,
    heads=6,
    kv_heads=2,
)
QUESTION = Question("question", "Which nuclei dominate?")
REPEATS = 7
SAMPLING = AnswerSampling(temperature=1.0, seed=0, max_tokens=96)


def directly(answerer: FolderAnswerer, image: ImageSource) -> tuple[str, float, float]:
    """What it says when it is asked in this process, seconds to its first word, and to its last."""
    began = time.perf_counter()
    sent = SentPicture.of(image.box, 256, answerer.address.patch_px)
    said, first_s = [], None
    for each in answerer.answer(
        draw(image, sent), QUESTION.prompt, SYSTEM, SAMPLING, cancelled=lambda: False
    ):
        if isinstance(each, Said):
            first_s = first_s or time.perf_counter() - began
            said.append(each.text)
        elif isinstance(each, Ended) and each.output_tokens != SAMPLING.max_tokens:
            raise RuntimeError("The model ended by itself. Choose another seed.")
    assert first_s is not None
    return "".join(said), first_s, time.perf_counter() - began


def through(client: Client, image: ImageSource) -> tuple[str, float, float]:
    """The same through a server that has the model, and is sent the image if it has it not."""
    began = time.perf_counter()
    request = AskRequest(
        image=client.put_image(image),
        mpp=MPP,
        answerer="small",
        question=QUESTION.text,
        temperature=SAMPLING.temperature,
        seed=SAMPLING.seed,
        max_tokens=SAMPLING.max_tokens,
    )
    text, first_s = "", None
    for event in client.ask(request):
        if isinstance(event, AskText):
            first_s = first_s or time.perf_counter() - began
        elif isinstance(event, Answered):
            text = event.raw
    assert first_s is not None
    return text, first_s, time.perf_counter() - began


@contextmanager
def asked(folder: Path) -> Iterator[tuple[FolderAnswerer, Client]]:
    """The same model in this process, and in a server's."""
    keys = folder / "keys.txt"
    key, _ = add_key(keys, "somebody")
    model = folder / "model"
    build_checkpoint(model, size=SIZE, window_px=56)
    place = AnswererFolder("small", model)
    with (
        shared_server(keys, "--answerer", f"small={model}", "--dtype", "float32") as url,
        Client(url, key) as client,
    ):
        yield FolderAnswerer(place, InMemory("float32")), client


def main() -> None:
    """Measure."""
    os.environ["OMP_NUM_THREADS"] = "1"  # the server's, which is begun after this
    torch.set_num_threads(1)
    image = tile_of_rgb(tile(), "tile")
    with TemporaryDirectory() as folder, asked(Path(folder)) as (answerer, client):
        _, cold_s, _ = through(client, image)
        directly(answerer, image)
        pairs = [(directly(answerer, image), through(client, image)) for _ in range(REPEATS)]
    if len({text for pair in pairs for text, *_ in pair}) != 1:
        raise RuntimeError("The server gave another answer than the model in this process.")
    alone_s, served_s = (statistics.median(pair[side][2] for pair in pairs) for side in (0, 1))
    first_s = statistics.median(pair[1][1] for pair in pairs)
    report(
        "ask",
        [
            Claim("ask.first_token_s", first_s, goal=0.5, better="lower"),
            Claim("ask.server_overhead", served_s / alone_s - 1, goal=0.05, better="lower"),
        ],
        details={
            "first_token_cold_s": cold_s,
            "first_token_s": [pair[1][1] for pair in pairs],
            "answer_alone_s": [pair[0][2] for pair in pairs],
            "answer_served_s": [pair[1][2] for pair in pairs],
            "tokens": SAMPLING.max_tokens,
        },
    )


if __name__ == "__main__":
    main()
