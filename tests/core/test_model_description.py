"""The description of a model, read from JSON of anybody's making."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from napari_nunext.core.errors import MALFORMED
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Category

WHOLE = ModelDescription(
    "NuNext",
    "qwen2_5_vl",
    kind="detector",
    id="nunext",
    categories=(Category("Tumour", (1, 2, 3)),),
    mpp=0.5,
    window_px=64,
    checkpoint_sha256="ab" * 32,
    parameters=9,
    prompt="Point.",
    metrics=({"f1": 0.9},),
    provenance={"data": "drawn"},
)


def test_a_description_comes_back_from_json():
    assert ModelDescription.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE


@pytest.mark.parametrize("name", [f.name for f in fields(ModelDescription)])
def test_null_stands_only_where_nothing_may_be_known(name):
    said = WHOLE.to_json() | {name: None}
    if name in ("mpp", "window_px", "checkpoint_sha256", "parameters", "prompt"):
        assert getattr(ModelDescription.from_json(said), name) is None
    else:
        with pytest.raises(MALFORMED, match=r"null|None"):
            ModelDescription.from_json(said)


@pytest.mark.parametrize("name", ["name", "family", "kind"])
def test_a_model_has_a_name_a_family_and_a_kind(name):
    said = WHOLE.to_json()
    del said[name]
    with pytest.raises(KeyError, match=name):
        ModelDescription.from_json(said)
