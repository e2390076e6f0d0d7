"""The model as it travels: servers and clients of before refuse what they do not know."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from napari_nunext.core.nuclei import Category
from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.serving.models.describe import completed
from napari_nunext.serving.protocol import ModelInfo, ModelList

BEFORE = {
    "id": "a",
    "name": "A",
    "kind": "detector",
    "family": "conv_qwen",
    "checkpoint_sha256": "ab" * 32,
    "categories": [{"name": "T", "color": [1, 2, 3]}],
    "mpp": 0.5,
    "window_px": 64,
    "parameters": 5,
    "prompt": "Point.",
    "metrics": [{"f1": 0.5}],
    "provenance": {"steps": 3},
    "problem": None,
    "passing": False,
    "default": True,
}


def test_a_server_of_before_is_understood_and_a_client_of_before_gets_what_it_knows():
    (model,) = ModelList.model_validate_json(json.dumps({"models": [BEFORE]})).models
    assert (model.id, model.default, model.problem) == ("a", True, None)
    assert model.categories == (Category("T", (1, 2, 3)),)
    assert json.loads(ModelList(models=[model]).model_dump_json()) == {"models": [BEFORE]}


def test_what_travels_is_what_a_detector_says_of_itself_and_no_more():
    """How it decodes and what it costs are the server's business."""
    bare = ModelInfo(id="c", name="c", kind="detector", family="?", checkpoint_sha256=None)
    told = completed(bare, ClassicalDetector().info)
    sent = json.loads(ModelList(models=[told]).model_dump_json())["models"][0]
    assert sent.keys() == BEFORE.keys()
    assert (sent["id"], sent["family"]) == ("c", "classical")


def test_no_folder_of_the_servers_machine_is_told():
    bare = ModelInfo(id="c", name="c", kind="detector", family="?", checkpoint_sha256=None)
    info = replace(
        ClassicalDetector().info,
        provenance={
            "data": [{"root": "/srv/patients/a", "path": r"C:\\jobs\\b.json"}],
            "at": "1/2",
        },
        metrics=({"data": "~/sets/val", "f1": 0.5},),
    )
    told = completed(bare, info)
    assert told.provenance == {"data": [{"root": "a", "path": "b.json"}], "at": "1/2"}
    assert told.metrics == ({"data": "val", "f1": 0.5},)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/srv/our patients/a b", "a b"),
        (
            "went on from /srv/runs/a and https://example.org/b",
            "went on from a and https://example.org/b",
        ),
    ],
)
def test_paths_go_from_sentences_too_and_addresses_stay(said, told):
    bare = ModelInfo(id="c", name="c", kind="detector", family="?", checkpoint_sha256=None)
    info = replace(ClassicalDetector().info, provenance={"note": said})
    assert completed(bare, info).provenance == {"note": told}


def test_a_field_that_nobody_knows_is_refused():
    with pytest.raises(ValidationError, match="speed"):
        ModelList.model_validate({"models": [BEFORE | {"speed": 3}]})
