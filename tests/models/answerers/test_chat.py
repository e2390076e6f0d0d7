"""An OpenAI-compatible server: what it is sent, what comes of it, and all that goes wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.answers.answerer import AnswererAddress
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from napari_nunext.models.answerers.chat import (
    MOST_CHARACTERS_A_TOKEN,
    MOST_LINE_BYTES,
    ChatAnswerer,
)
from napari_nunext.models.answerers.picture import draw
from tests.answering import EXACT, MODEL, chat_server, deltas
from tests.waiting import PATIENCE_S

GREEDY = AnswerSampling()
KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def fake():
    with chat_server() as fake:
        yield fake


@pytest.fixture
def answerer(fake):
    answerer = ChatAnswerer(AnswererAddress("fake", fake.url, MODEL, key=KEY))
    yield answerer
    answerer.close()


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (56, 84, 3), dtype=np.uint8)


def ask(answerer, rgb, sampling=GREEDY, cancelled=lambda: False):
    said = answerer.answer(rgb, "Which dominates?", "Think.", sampling, cancelled=cancelled)
    *pieces, ended = [each for each in said if each is not None]
    assert all(isinstance(piece, Said) for piece in pieces)
    assert isinstance(ended, Ended)
    thought = "".join(piece.text for piece in pieces if piece.reasoning)
    return "".join(piece.text for piece in pieces if not piece.reasoning), thought, ended


def test_what_is_said_comes_with_its_usage(fake, answerer, rgb):
    assert ask(answerer, rgb) == (EXACT, "", Ended("stop", 300, 12))


def test_the_server_is_sent_the_very_pixels_and_the_prompts(fake, answerer, rgb):
    ask(answerer, rgb, AnswerSampling(0.7, seed=3, max_tokens=99))
    (asked,) = fake.asked
    np.testing.assert_array_equal(fake.picture(), rgb)
    assert asked["messages"][0] == {"role": "system", "content": "Think."}
    assert asked["messages"][1]["content"][1] == {"type": "text", "text": "Which dominates?"}
    assert (asked["temperature"], asked["seed"], asked["max_tokens"]) == (0.7, 3, 99)
    assert asked["model"] == MODEL
    assert fake.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_thought_sent_apart_is_kept_apart(fake, answerer, rgb, name):
    fake.deltas = [{name: "many "}, {name: "nuclei"}, *deltas("<answer>A</answer>")]
    assert ask(answerer, rgb)[:2] == ("<answer>A</answer>", "many nuclei")


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, RequestRejectedError, "NAPARI_NUNEXT_KEY_FAKE"),
        (403, RequestRejectedError, "another key"),
        (429, ServerUnavailableError, "too much to do"),
        (500, ServerUnavailableError, "status 500"),
        (400, RequestRejectedError, "no image input"),
        (307, RequestRejectedError, "307"),
    ],
)
def test_a_refusal_is_told_in_words_and_never_with_the_key(
    fake, answerer, rgb, status, error, words
):
    fake.status, fake.kind = status, "application/json"
    fake.body = b'{"error": {"message": "no image input with %s"}}' % KEY.encode()
    with pytest.raises(error, match=words) as caught:
        ask(answerer, rgb)
    assert KEY not in str(caught.value)


def test_a_web_page_is_no_server(fake, answerer, rgb):
    fake.body, fake.kind = b"<html>Welcome</html>", "text/html; charset=utf-8"
    with pytest.raises(RequestRejectedError, match=r"it sent text/html.*/v1"):
        ask(answerer, rgb)


@pytest.mark.parametrize(
    "end", [b"data: {half", b"data: 3\n\n", b'data: {"error": {"message": "out of memory"}}\n\n']
)
def test_half_a_stream_keeps_what_came(fake, answerer, rgb, end):
    fake.finish, fake.usage, fake.raw_end = None, None, end
    fake.deltas = deltas("<think>many")
    assert ask(answerer, rgb) == ("<think>many", "", Ended("broken"))


def test_a_stream_that_breaks_off_keeps_what_came(fake, answerer, rgb):
    fake.breaks, fake.deltas = True, deltas("<think>many")
    assert ask(answerer, rgb) == ("<think>many", "", Ended("broken"))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (b"", "before it said anything"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "failed: out of memory"),
        (b"data: 3\n\n", "a form that is not understood"),
        (b"data: " + b"x" * (2 * MOST_LINE_BYTES), "a form that is not understood"),
    ],
)
def test_a_stream_that_says_nothing_is_an_error(fake, answerer, rgb, end, words):
    fake.finish, fake.usage, fake.raw_end, fake.deltas = None, None, end, []
    with pytest.raises((ServerUnavailableError, RequestRejectedError), match=words):
        ask(answerer, rgb)


def test_an_empty_answer_is_an_answer(fake, answerer, rgb):
    fake.deltas = []
    assert ask(answerer, rgb) == ("", "", Ended("stop", 300, 12))


def test_done_is_enough_of_an_end(fake, answerer, rgb):
    fake.finish = fake.usage = None
    assert ask(answerer, rgb) == (EXACT, "", Ended("stop"))


def test_a_reply_at_the_most_tokens_says_so(fake, answerer, rgb):
    fake.finish = "length"
    assert ask(answerer, rgb)[2].finish == "length"


def test_a_server_that_never_stops_is_stopped(fake, answerer, rgb):
    fake.deltas, fake.forever = deltas("on and on "), True
    text, _, ended = ask(answerer, rgb, AnswerSampling(max_tokens=10))
    assert ended.finish == "length"
    assert len(text) <= 10 * MOST_CHARACTERS_A_TOKEN + len("on and on ")
    assert fake.hung_up.wait(PATIENCE_S)


def test_stop_keeps_what_came_and_hangs_up(fake, answerer, rgb):
    fake.go_on.clear()
    heard = []
    stream = answerer.answer(
        rgb, "Which?", "Think.", AnswerSampling(), cancelled=lambda: bool(heard)
    )
    for each in stream:
        if each is not None:
            heard.append(each)
    assert heard == [Said(EXACT[:9]), Ended("cancelled")]
    assert fake.hung_up.wait(PATIENCE_S)


def test_a_server_that_is_not_there_is_named(answerer, rgb):
    away = ChatAnswerer(replace(answerer.address, url="http://127.0.0.1:9/v1"))
    with pytest.raises(ServerUnavailableError, match=r"fake at 127\.0\.0\.1 does not answer"):
        ask(away, rgb)
    assert "does not answer" in away.problem()
    away.close()


def test_silence_has_an_end_and_keeps_what_came(fake, rgb):
    fake.mute = True
    fake.go_on.clear()
    quiet = ChatAnswerer(AnswererAddress("fake", fake.url, MODEL), silence_s=0.05)
    assert ask(quiet, rgb) == (EXACT[:9], "", Ended("broken"))
    fake.deltas = [{}]
    with pytest.raises(ServerUnavailableError, match="does not answer"):
        ask(quiet, rgb)
    quiet.close()


def test_it_says_whether_it_can_be_asked(fake, answerer):
    assert answerer.problem() is None
    other = ChatAnswerer(replace(answerer.address, model="other"))
    assert "has no model other; it has vlm" in other.problem()


@pytest.mark.parametrize("budget", [4, 16, 256])
def test_the_picture_has_exactly_the_size_that_was_counted(rng, budget):
    image = tile_of_rgb(rng.integers(0, 256, (300, 500, 3), dtype=np.uint8), "tile")
    sent = SentPicture.of(Box(10.5, 20.25, 410.5, 299.5), budget)
    assert draw(image, sent).shape == (sent.height_px, sent.width_px, 3)


def test_places_in_the_picture_are_those_of_the_slide():
    rgb = np.zeros((280, 560, 3), dtype=np.uint8)
    rgb[100:120, 200:240] = 255
    sent = SentPicture.of(Box(0, 0, 560, 280), 16)
    bright = np.argwhere(draw(tile_of_rgb(rgb, "tile"), sent)[..., 0] > 127)
    corners = np.array([bright.min(axis=0), bright.max(axis=0) + 1])[:, ::-1]
    np.testing.assert_allclose(sent.to_level0(corners), [[200, 100], [240, 120]], atol=5)
