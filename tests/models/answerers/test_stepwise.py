"""Tokens one by one, and text as far as it can be read."""

from __future__ import annotations

import threading

import pytest
import torch

from napari_nunext.models.answerers.stepwise import Words, one_by_one
from napari_nunext.models.checkpoints.build import new_tokenizer


def counting(made):
    """What generates the numbers from 0, and writes down each that it begins."""

    def generate(streamer):
        streamer.put(torch.zeros(1, 9))  # the prompt
        for number in range(3):
            made.append(number)
            streamer.put(torch.tensor([number]))
        streamer.end()

    return generate


def test_a_token_is_made_when_it_is_asked_for():
    made = []
    tokens = one_by_one(counting(made))
    for number in range(3):
        assert next(tokens) == number
        assert made == list(range(number + 1))
    assert next(tokens, None) is None


def test_whoever_has_enough_stops_it():
    made = []
    tokens = one_by_one(counting(made))
    assert next(tokens) == 0
    tokens.close()
    assert made == [0]
    assert "reply" not in {each.name for each in threading.enumerate()}


def test_what_breaks_is_raised_where_it_is_waited_for():
    def generate(streamer):
        streamer.put(torch.zeros(1, 9))
        streamer.put(torch.tensor([5]))
        raise MemoryError("too large")

    tokens = one_by_one(generate)
    assert next(tokens) == 5
    with pytest.raises(MemoryError, match="too large"):
        next(tokens)


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer()


@pytest.mark.parametrize("text", ["10 µm, 核 🔬 done", "", "[[1, 2, 3, 4]]"])
def test_a_character_of_several_tokens_comes_whole(tokenizer, text):
    words = Words(tokenizer.decode)
    pieces = [words.take(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert words.rest() == ""
    assert not any("\ufffd" in piece for piece in pieces)


def test_half_a_character_at_the_end_is_told_as_such(tokenizer):
    words = Words(tokenizer.decode)
    *but_last, _ = tokenizer.encode("a🔬")
    assert "".join(words.take(token) for token in but_last) == "a"
    assert words.rest() == "\ufffd"


def test_whatever_comes_nothing_is_lost(tokenizer, rng):
    for _ in range(200):
        ids = rng.integers(0, len(tokenizer), 40).tolist()
        words = Words(tokenizer.decode)
        assert "".join(map(words.take, ids)) + words.rest() == tokenizer.decode(ids)
