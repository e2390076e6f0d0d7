from __future__ import annotations

import ast
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.loading import save_checkpoint
from napari_nunext.models.families import (
    check_window,
    family_names,
    get_family,
    register_family,
    submodule,
)
from tests.models.conftest import PAIRS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint


def test_families_are_known_by_name_and_registered_once() -> None:
    assert family_names() == ("conv_qwen", "qwen2_5_vl", "qwen3_vl")
    assert {family for family, _ in PAIRS} == {*family_names()}
    assert get_family("qwen3_vl").name == "qwen3_vl"
    with pytest.raises(CheckpointError, match="registered already"):
        register_family(get_family("qwen3_vl"))


def test_a_window_must_be_whole_image_tokens_wide() -> None:
    assert check_window(448, 28) == 256
    assert check_window(32, 32) == 1
    with pytest.raises(CheckpointError, match=r"450 px is not a multiple .* Use 448 px"):
        check_window(450, 28)
    with pytest.raises(CheckpointError, match="Use 28 px"):
        check_window(10, 28)


def test_paths_lead_to_the_vision_tower_and_the_language_layers(
    checkpoint: LoadedCheckpoint,
) -> None:
    model, family = checkpoint.model, checkpoint.family
    layers: Any = submodule(model, family.layers_path)
    assert len(layers) == model.config.text_config.num_hidden_layers
    vision = submodule(model, family.vision_path)
    assert len(vision.blocks) == model.config.vision_config.depth  # type: ignore[arg-type]
    assert family.token_px(model.config) == 8


def test_positions_are_those_that_the_model_takes_by_itself(
    checkpoint: LoadedCheckpoint, windows: Any
) -> None:
    inputs = checkpoint.windows(windows)
    positions = checkpoint.family.position_ids(checkpoint.model, inputs)
    length = inputs["input_ids"].shape[1]
    assert positions.shape == (3, len(windows), length)
    with torch.no_grad():
        own = checkpoint.model(**inputs).logits
        given = checkpoint.model(**inputs, position_ids=positions).logits
    torch.testing.assert_close(own, given)


def test_saved_processors_name_the_standard_classes_for_other_readers(
    checkpoint: LoadedCheckpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    save_checkpoint(folder, checkpoint.model, checkpoint.windows.processor, checkpoint.description)
    processor = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    standard = {
        "qwen2_5_vl": "Qwen2_5_VLProcessor",
        "qwen3_vl": "Qwen3VLProcessor",
        "conv_qwen": "ConvQwenProcessor",  # `napari_nunext.models.auto` makes it known
    }
    assert processor["processor_class"] == standard[checkpoint.family.name]
    assert processor["image_processor"]["image_processor_type"] == "Qwen2VLImageProcessor"
    assert processor["image_processor"]["size"] == {"shortest_edge": 1024, "longest_edge": 1024}
    patch_px = checkpoint.model.config.vision_config.patch_size
    assert processor["video_processor"]["patch_size"] == patch_px
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert tokenizer["processor_class"] == processor["processor_class"]
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        assert (folder / name).is_file()


EVERY_LANGUAGE_MODELS = {"input_ids", "attention_mask"}
ARCHITECTURES = ("napari_nunext/models/families/", "napari_nunext/models/sam/")
"""Rooms in which an architecture may be known by its inputs: each has its own."""


@cache
def words(path: Path) -> frozenset[str]:
    """Every name and every string of a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Constant(value=str(word)) | ast.Name(id=word) | ast.Attribute(attr=word):
                found.add(word)
            case ast.arg(arg=word) | ast.keyword(arg=str(word)):
                found.add(word)
    return frozenset(found)


def test_nobody_else_names_what_a_familys_model_takes(
    checkpoint: LoadedCheckpoint, windows: Any, repo_root: Path
) -> None:
    own = checkpoint.windows(windows).keys() - EVERY_LANGUAGE_MODELS
    assert own
    knowing = {
        name: sorted(own & words(path))
        for tree in ("napari_nunext", "training/nunext_training")
        for path in (repo_root / tree).rglob("*.py")
        if not (name := path.relative_to(repo_root).as_posix()).startswith(ARCHITECTURES)
        and own & words(path)
    }
    assert knowing == {}


def test_a_prompt_keeps_a_row_for_each_window_whatever_is_done_with_it(
    checkpoint: LoadedCheckpoint, windows: Any
) -> None:
    """Rows that were taken, repeated and continued are read as the windows themselves are."""
    prompt = checkpoint.windows(windows[:3])
    codec = checkpoint.description.codec
    points_xy = np.array([[3.0, 4.0]])
    reply = torch.tensor(codec.encode(points_xy, [0] if codec.has_categories else None))
    order = [2, 0, 2]
    whole = prompt.rows(torch.tensor(order)).followed_by(reply.expand(3, -1))
    with torch.no_grad():
        together = checkpoint.model(**whole).logits
        for row, window in enumerate(order):
            alone = checkpoint.windows([windows[window]]).followed_by(reply[None])
            torch.testing.assert_close(together[row], checkpoint.model(**alone).logits[0])
    assert torch.equal(whole.image_places, prompt.image_places)
    assert not torch.equal(together[0], together[1])
