"""A small detector as the base of an answerer: its words, and that nothing else changed."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.points import nuclei_text
from napari_nunext.core.answers.prompts import SYSTEM, Question
from napari_nunext.core.answers.reply import reply_text
from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.answerers.about import new_tokens
from napari_nunext.models.answerers.base import build_answer_base
from napari_nunext.models.answerers.base_words import answer_words, frequent_words
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.places import BUNDLED_WEIGHTS

DETECTOR = BUNDLED_WEIGHTS / "nunext-small"
CATEGORIES = ("Lymphocyte", "Tumour or epithelial", "Stromal")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "ask-base"
    build_answer_base(DETECTOR, folder, words=["mitoses", " mitoses", "naïve", " naïve"])
    return folder


@pytest.fixture(scope="module")
def loaded(base):
    return load_answerer(AnswererFolder("base", base), "float32")


def ids(loaded, text):
    return loaded.processor.tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (SYSTEM, 1),
        (reply_text("", "Tumour or epithelial"), 3),
        (reply_text("Lymphocyte 12, Stromal 3.", "yes"), 10),
        (Question("question", "Which category dominates?", CATEGORIES[:2]).prompt, 9),
        (nuclei_text(np.array([[12, 40.5], [30, 41]]), CATEGORIES[:2]), 7),
        (" 256", 1),
        (" mitoses", 1),
    ],
)
def test_phrases_of_the_prompts_words_and_numbers_are_tokens(loaded, text, tokens):
    assert len(ids(loaded, text)) == tokens


@given(st.text() | st.lists(st.sampled_from(answer_words(CATEGORIES))).map("".join))
@settings(max_examples=300, deadline=None)
def test_every_text_is_read_back_as_it_was(loaded, text):
    text = unicodedata.normalize("NFC", text)
    told = loaded.processor.tokenizer.decode(
        loaded.processor.tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True
        ),
        clean_up_tokenization_spaces=False,
    )
    assert told == text


def test_the_detector_inside_is_as_it_was(base, loaded):
    old = load_checkpoint(DETECTOR, dtype=torch.float32)
    before, after = old.model.state_dict(), loaded.model.state_dict()
    first = new_tokens(base).start
    assert first == len(old.windows.processor.tokenizer)
    assert before.keys() == after.keys()
    for name, weight in before.items():
        rows = first if "embed_tokens" in name or "lm_head" in name else len(weight)
        assert torch.equal(weight[:rows], after[name][:rows]), name


def test_a_number_begins_like_its_coordinate_and_a_category_like_its_token(loaded):
    rows = loaded.model.get_input_embeddings().weight
    codec = load_checkpoint(DETECTOR).description.codec

    old = [codec.coordinate_start_id + i for i in range(codec.bins)] + [*codec.category_ids]

    def nearest(text):
        (token,) = ids(loaded, text)
        likeness = torch.nn.functional.cosine_similarity(rows[token][None], rows[old])
        return old[int(likeness.argmax())]

    assert nearest(" 37") == codec.coordinate_start_id + 37
    assert nearest(" Stromal;") == codec.category_ids[2]
    assert nearest("Lymphocyte") == codec.category_ids[0]


def test_the_same_seed_gives_the_same_rows_and_another_one_others(base, loaded, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        build_answer_base(
            DETECTOR,
            tmp_path / name,
            words=["mitoses", " mitoses", "naïve", " naïve"],
            seed=seed,
        )
    rows, same, other = (
        load_answerer(AnswererFolder("a", each), "float32").model.get_input_embeddings().weight
        for each in (base, tmp_path / "same", tmp_path / "other")
    )
    new = new_tokens(base)
    assert torch.equal(rows[: new.stop], same[: new.stop])
    assert not torch.equal(rows[new.start : new.stop], other[new.start : new.stop])


def test_a_folder_that_is_there_stays(base):
    with pytest.raises(InputError, match="exists already"):
        build_answer_base(DETECTOR, base)


def test_frequent_words_are_the_commonest_first():
    texts = ["How many mitoses? many", "many mitoses", "rare"]
    assert frequent_words(texts, least=2, most=9) == (" many", " mitoses")
    assert frequent_words(texts, least=1, most=1) == (" many",)


@pytest.mark.parametrize("said", [5, ["a", "b"], [1]])
def test_a_base_that_says_nonsense_of_its_tokens_is_named(tmp_path, said):
    (tmp_path / "training.json").write_text(json.dumps({"new_tokens": said}))
    with pytest.raises(CheckpointError, match="new_tokens"):
        new_tokens(tmp_path)
    assert len(new_tokens(tmp_path / "none")) == 0
