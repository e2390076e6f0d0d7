"""Questions at a server that runs the answerer itself, from a folder."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.ask_protocol import Answered, AskDone, AskRequest, AskText
from napari_nunext.serving.protocol import DetectRequest, Done, Failed
from tests.answering import small_allocator, small_answerer
from tests.waiting import wait_for

torch.set_num_threads(1)

WITHOUT_END = 2000
"""More tokens than a test waits for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small Qwen2.5-VL. Do not write to it."""
    return small_answerer(tmp_path_factory.mktemp("answerer") / "patho-nano")


@pytest.fixture
def serve(start, folder):
    def serve(where=folder, **fields):
        return start(answerers=(AnswererFolder("vlm", where, **fields),))

    return serve


@pytest.fixture
def image(rgb):
    return tile_of_rgb(rgb, "tile")  # 128 x 96 px


def asked(server, image, **fields):
    return AskRequest(
        **{"image": server.client.put_image(image), "mpp": 0.5, "answerer": "vlm"}
        | {"question": "Which nuclei dominate?", "temperature": 1.0, "seed": 5, "max_tokens": 24}
        | fields
    )


def answers(events):
    return [event for event in events if isinstance(event, Answered)]


def test_an_answer_streams_and_its_tokens_are_counted(serve, image, folder):
    server = serve()
    started, *pieces, answered, done = server.client.ask(asked(server, image))
    assert (started.answerer.model, started.answerer.host) == ("patho-nano", "localhost")
    assert started.answerer.local
    assert str(folder.parent) not in started.model_dump_json()
    texts = [piece.text for piece in pieces if isinstance(piece, AskText)]
    assert len(texts) > 10
    assert answered.raw == "".join(texts)
    assert (answered.finish, answered.output_tokens) == ("length", 24)
    assert started.image_tokens == 15  # 5 x 3 squares of 28 px
    assert answered.prompt_tokens > 15
    assert not any("resized" in note for note in answered.notes)
    assert done == AskDone(answers=1, finish="complete")


def test_a_seed_gives_the_same_answers_again(serve, image):
    server = serve()
    request = asked(server, image, samples=2)
    first, again = (answers(server.client.ask(request)) for _ in range(2))
    assert [each.raw for each in first] == [each.raw for each in again]
    assert first[0].raw != first[1].raw
    (second,) = answers(server.client.ask(asked(server, image, seed=6)))
    assert second.raw == first[1].raw


def test_stopping_keeps_what_came(serve, image):
    server = serve()
    stream = server.client.ask(asked(server, image, run="mine", max_tokens=WITHOUT_END, samples=4))
    heard = [next(stream)]
    while not isinstance(heard[-1], AskText):
        heard.append(next(stream))
    assert server.client.cancel("mine")
    *pieces, answered, done = [*heard, *stream]
    assert answered.raw == "".join(each.text for each in pieces if isinstance(each, AskText))
    assert (answered.finish, done.finish) == ("cancelled", "cancelled")
    assert answered.output_tokens < WITHOUT_END


def test_hanging_up_stops_it(serve, image):
    server = serve()
    stream = server.client.ask(asked(server, image, max_tokens=WITHOUT_END, samples=4))
    while not isinstance(next(stream), AskText):
        pass
    stream.close()
    wait_for(lambda: not server.process._service.busy)
    figures = server.process._service.metrics.jobs.labels("ask", "cancelled")
    assert figures._value.get() == 1


def test_a_search_has_its_turns_while_an_answer_is_written(serve, image):
    server = serve()
    request = asked(server, image, run="mine", max_tokens=WITHOUT_END, samples=4)
    stream = server.client.ask(request)
    while not isinstance(next(stream), AskText):
        pass
    search = DetectRequest(image=request.image, mpp=0.5, model="classical")
    assert isinstance(list(server.client.detect(search))[-1], Done)
    assert server.client.cancel("mine")  # it was still there
    assert list(stream)[-1].finish == "cancelled"


def test_two_questions_take_turns_and_get_their_own_answers(serve, image, rng):
    server = serve()
    other = tile_of_rgb(rng.integers(0, 256, (56, 84, 3), dtype=np.uint8), "other")
    requests = [asked(server, image), asked(server, other)]
    alone = [answers(server.client.ask(each))[0].raw for each in requests]
    streams = [server.client.ask(each) for each in requests]
    for stream in streams:
        next(stream)
    assert [answers(stream)[0].raw for stream in streams] == alone


def test_a_picture_that_the_model_resizes_is_noticed(serve, image, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text("utf-8"))
    for name in ("patch_size", "spatial_merge_size"):  # those that it does not state
        assert config["vision_config"].pop(name) in (14, 2)
    (other / "config.json").write_text(json.dumps(config), "utf-8")
    server = serve(other, patch_px=20)
    started, *_, answered, _ = server.client.ask(asked(server, image))
    assert started.image_tokens == 6 * 5
    assert re.search(r"made \d+ tokens of a picture that counts 30", answered.notes[-1])


def test_it_is_listed_with_what_is_wrong_with_it(serve, start, folder, tmp_path):
    (info,) = serve(may_train=True).client.answerers()
    assert (info.id, info.model, info.local, info.patch_px) == ("vlm", "patho-nano", True, 28)
    assert (info.may_train, info.problem) == (True, None)
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    (info,) = serve(broken).client.answerers()
    assert info.problem.startswith("broken has no model.safetensors.")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": '{"model_type": "brand_new"}'}, "a brand_new, which transformers"),
        ({"config.json": '{"model_type": "llava"}', "processor_config.json": "{"}, "a llava"),
        ({"config.json": '{"model_type": "qwen2_5_vl", "vision_config": 3}'}, "cannot be"),
        ({"tokenizer.json": "{}"}, "cannot be used here"),
    ],
)
def test_a_broken_folder_is_one_sentence_without_its_place(
    serve, image, folder, tmp_path, files, words
):
    broken = shutil.copytree(folder, tmp_path / "broken")
    for name, text in files.items():
        (broken / name).write_text(text, "utf-8")
    *_, last = (server := serve(broken)).client.ask(asked(server, image))
    assert isinstance(last, Failed)
    assert last.code == "cannot_run"
    assert last.message.startswith("broken")
    assert words in last.message
    assert "\n" not in last.message
    assert str(tmp_path) not in last.message


def test_other_answerers_are_not_there(serve, image):
    server = serve()
    with pytest.raises(RequestRejectedError, match="Choose one of: vlm"):
        list(server.client.ask(asked(server, image, answerer="other")))


@pytest.fixture(scope="module")
def allocator(tmp_path_factory, folder):
    """Chooses 1, 4 or 9 image tokens for it. Do not write to it."""
    return small_allocator(tmp_path_factory.mktemp("allocator") / "few", folder)


def test_an_answerer_with_an_allocator_chooses_its_tokens(serve, image, allocator):
    server = serve(allocator=allocator)
    (info,) = server.client.answerers()
    assert (info.allocates, info.problem, info.model) == (True, None, "patho-nano")
    events = list(server.client.ask(asked(server, image, allocate=True, budget=15)))
    started = events[0]
    assert started.event == "started"
    assert started.allocated in (1, 4, 9)
    width_px, height_px = started.sent_px
    assert started.image_tokens == width_px * height_px // 28**2 <= started.allocated
    assert started.look_tokens in (2, 4)  # of 128 x 96 px, at most four
    (answer,) = answers(events)
    assert not any("resized" in note for note in answer.notes)
    # What is answered is what is answered of that picture without an allocator, word by word.
    plain = serve()
    again = list(plain.client.ask(asked(plain, image, budget=started.allocated)))
    assert answers(again)[0].raw == answer.raw
    assert again[0].sent_px == started.sent_px
    assert (again[0].allocated, again[0].look_tokens) == (None, 0)


def test_it_chooses_no_more_than_it_is_allowed(serve, image, allocator):
    server = serve(allocator=allocator)
    for budget, allowed in ((8, (1, 4)), (4, (1, 4)), (3, (None,))):
        started = next(server.client.ask(asked(server, image, allocate=True, budget=budget)))
        assert started.allocated in allowed
        assert started.image_tokens <= budget


def test_where_there_is_nothing_to_choose_nothing_is_looked_at(serve, allocator, rng):
    server = serve(allocator=allocator)
    tiny = tile_of_rgb(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8), "tiny")
    started = next(server.client.ask(asked(server, tiny, allocate=True)))
    assert (started.image_tokens, started.allocated, started.look_tokens) == (1, None, 0)


def test_an_allocator_leaves_the_answers_of_its_performer_as_they_are(serve, image, allocator):
    with_one, without = serve(allocator=allocator), serve()
    requests = [asked(server, image, samples=2) for server in (with_one, without)]
    list(with_one.client.ask(asked(with_one, image, allocate=True)))  # switched on, and off again
    said = [
        [each.raw for each in answers(server.client.ask(request))]
        for server, request in zip((with_one, without), requests, strict=True)
    ]
    assert said[0] == said[1]


def test_an_answerer_without_an_allocator_is_not_let_choose(serve, image):
    server = serve()
    with pytest.raises(RequestRejectedError, match="vlm cannot choose image tokens"):
        list(server.client.ask(asked(server, image, allocate=True)))


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"menu": [], "look_tokens": 4},
        {"menu": [0, 4], "look_tokens": 4},
        {"menu": [1, 2.5], "look_tokens": 4},
        {"menu": [1, 10**9], "look_tokens": 4},
        {"menu": [1, "4"], "look_tokens": 4},
        {"menu": [1, 4], "look_tokens": None},
        {"menu": [True, 4], "look_tokens": 4},
    ],
)
def test_what_is_no_allocator_is_said_in_a_sentence(serve, image, allocator, tmp_path, about):
    broken = shutil.copytree(allocator, tmp_path / "broken")
    (broken / "training.json").write_text(json.dumps(about), "utf-8")
    server = serve(allocator=broken)
    (info,) = server.client.answerers()
    assert info.problem.startswith("broken is no allocator")
    *_, last = server.client.ask(asked(server, image))
    assert isinstance(last, Failed)
    assert last.message.startswith("broken is no allocator")
