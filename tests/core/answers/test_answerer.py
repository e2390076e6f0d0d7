"""Where an answerer is and what its ways are, as the command line says it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_nunext.core.answers.answerer import (
    AnswererAddress,
    AnswererFolder,
    answerer_from_json,
    parse_answerer,
)
from napari_nunext.core.errors import InputError


def test_the_short_form_has_safe_choices():
    address = parse_answerer("qwen=http://127.0.0.1:11434/v1/#qwen2.5vl:3b")
    assert address == AnswererAddress("qwen", "http://127.0.0.1:11434/v1", "qwen2.5vl:3b")
    assert not address.may_train
    assert (address.boxes, address.thought) == ("pixels", "tags")


def test_options_follow_the_model():
    address = parse_answerer(
        "med-gemma=https://gpu.example.org:8000/v1#google/medgemma,may_train,"
        "boxes=thousand_y_first,thought=gemma,patch_px=32,budget=64,max_tokens=4096,nuclei"
    )
    assert address.may_train
    assert address.reads_nuclei
    assert address.boxes == "thousand_y_first"
    assert address.thought == "gemma"
    assert (address.patch_px, address.budget, address.max_tokens) == (32, 64, 4096)
    assert address.key_variable == "NAPARI_NUNEXT_KEY_MED_GEMMA"
    assert address.host == "gpu.example.org"


@pytest.mark.parametrize(
    ("option", "reads"),
    [("", None), (",nuclei", True), (",nuclei=yes", True), (",nuclei=no", False)],
)
@pytest.mark.parametrize("where", ["http://h/v1#m", "models/patho-3b"])
def test_whether_it_reads_nuclei_is_said_or_left_open(where, option, reads):
    place = parse_answerer(f"a={where}{option}")
    assert place.reads_nuclei is reads
    assert answerer_from_json(json.loads(json.dumps(place.to_json()))) == place


def test_it_survives_its_way_to_another_process_and_is_never_shown_with_its_key():
    address = AnswererAddress("a", "http://h/v1", "m", key="secret")
    assert answerer_from_json(json.loads(json.dumps(address.to_json()))) == address
    assert "secret" not in repr(address)


def test_what_is_no_address_is_a_folder():
    place = parse_answerer("path=models/patho-3b,adapter=lora/breast,boxes=thousand,may_train")
    assert place == AnswererFolder(
        "path",
        Path("models/patho-3b"),
        adapter=Path("lora/breast"),
        boxes="thousand",
        may_train=True,
    )
    assert answerer_from_json(json.loads(json.dumps(place.to_json()))) == place


def test_callers_hear_of_a_folder_by_name_alone():
    place = AnswererFolder("a", Path("/home/somebody/patho-3b"))
    assert (place.model, place.host) == ("patho-3b", "localhost")
    assert replace(place, adapter=Path("/home/somebody/breast")).model == "patho-3b+breast"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("qwen", "no address and model"),
        ("qwen=http://h/v1", "no address and model"),
        ("qwen=ftp://h/v1#m", "no address and model"),
        ("=http://h/v1#m", "cannot be the name"),
        ("counts=http://h/v1#m", "cannot be the name"),
        ("../x=http://h/v1#m", "cannot be the name"),
        ("a=http://me:secret@h/v1#m", "NAPARI_NUNEXT_KEY_A"),
        ("a=http://h/v1#m,boxes=inches", "expected one of pixels"),
        ("a=http://h/v1#m,thought=aloud", "expected one of tags"),
        ("a=http://h/v1#m,patch_px=0", "expected 1 to 224"),
        ("a=http://h/v1#m,budget=0", "expected 1 to 16384"),
        ("a=http://h/v1#m,max_tokens=0", "expected 1 to 8192"),
        ("a=there,budget=99999", "expected 1 to 16384"),
        ("a=there,budget=many", "no option"),
        ("a=http://h/v1#m,may_train=perhaps", "no option"),
        ("a=http://h/v1#m,nuclei=some", "no option"),
        ("a=http://h/v1#m,colour=red", "no option"),
        ("a=http://h/v1#m,adapter=there", "no option"),
        ("a=there,adapter=", "no option"),
        ("counts=there", "cannot be the name"),
    ],
)
def test_what_is_wrong_is_said(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_answerer(text)
    assert "secret" not in str(caught.value)
