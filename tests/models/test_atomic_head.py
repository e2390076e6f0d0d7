"""The head of atomic points: what it computes, its file, and what a checkpoint says of it."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.atomic_head import HEAD_WIDTH, AtomicHead
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE, AtomicPoints
from napari_nunext.models.checkpoints.description import (
    describe,
    read_description,
    write_description,
)
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint, save_checkpoint

ATOMIC = AtomicPoints(used=True, tolerance_um=1.5)


@pytest.fixture
def with_head(built, tmp_path):
    """A checkpoint's folder with a random head."""
    folder = tmp_path / "with-head"
    shutil.copytree(built, folder)
    parent = load_checkpoint(built, device="cpu")
    AtomicHead.beginning(parent.model, parent.description.codec).save(folder)
    write_description(folder, replace(parent.description, atomic=ATOMIC))
    return folder


def gelu(a):
    return a * 0.5 * (1 + np.vectorize(math.erf)(a / math.sqrt(2)))


def test_a_guess_is_attention_to_the_image_by_a_question_of_the_state_and_x():
    torch.manual_seed(0)
    width, bins = 2 * HEAD_WIDTH, 5
    head = AtomicHead(width, bins, categories=0)
    image, state = torch.randn(1, 7, width), torch.randn(1, 1, width)
    x = torch.tensor([[3]])

    weights = {name: t.numpy().astype(np.float64) for name, t in head.state_dict().items()}

    def linear(name, vector):
        return vector @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    keys, values = np.split(linear("image", image[0].numpy()), 2, axis=1)
    asked = np.concatenate([state[0, 0].numpy(), weights["coordinates.weight"][3]])
    mixed = linear("y.mix.2", gelu(linear("y.mix.0", asked)))
    query, looked = linear("y.query", mixed), []
    for start in range(0, width, HEAD_WIDTH):
        part = slice(start, start + HEAD_WIDTH)
        scores = keys[:, part] @ query[part] / math.sqrt(HEAD_WIDTH)
        share = np.exp(scores) / np.exp(scores).sum()
        looked.append(share @ values[:, part])
    expected = linear("y.choices", mixed + linear("y.answer", np.concatenate(looked)))

    found = head.y_scores(head.look(image), state, x)[0, 0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_points_of_a_window_are_guessed_alone_and_together_alike():
    torch.manual_seed(1)
    head = AtomicHead(64, 9, categories=3)
    image, state = torch.randn(2, 4, 64), torch.randn(2, 5, 64)
    x, y = torch.randint(9, (2, 5)), torch.randint(9, (2, 5))
    y_scores, categories = head(image, state, x, y)
    assert y_scores.shape == (2, 5, 9)
    assert categories.shape == (2, 5, 3)
    row, place = slice(1, 2), slice(3, 4)
    alone = head(image[row], state[row, place], x[row, place], y[row, place])
    torch.testing.assert_close(alone[0], y_scores[row, place], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone[1], categories[row, place], rtol=1e-4, atol=1e-5)


def test_a_window_without_points_is_no_trouble():
    head = AtomicHead(64, 9, categories=2)
    nothing = torch.empty(3, 0, dtype=torch.long)
    y_scores, categories = head(torch.randn(3, 4, 64), torch.empty(3, 0, 64), nothing, nothing)
    assert y_scores.shape == (3, 0, 9)
    assert categories.shape == (3, 0, 2)


def test_a_head_is_loaded_as_it_was_saved(with_head):
    checkpoint = load_checkpoint(with_head, device="cpu")
    assert checkpoint.description.atomic == ATOMIC
    again = AtomicHead.beginning(checkpoint.model, checkpoint.description.codec)
    again.read(with_head)
    for name, tensor in checkpoint.atomic_head.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not any(p.requires_grad for p in checkpoint.atomic_head.parameters())


def test_a_head_is_part_of_what_a_checkpoint_is_known_by(with_head):
    before = checkpoint_sha256(with_head)
    head = AtomicHead(64, 32, categories=0)
    head.save(with_head)
    assert checkpoint_sha256(with_head) != before


def test_readers_that_know_nothing_of_heads_find_the_model_as_it_was(built, with_head):
    old, new = (load_checkpoint(folder, device="cpu").model for folder in (built, with_head))
    for (name, a), (_, b) in zip(old.named_parameters(), new.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_head_of_another_model_is_refused_in_words(with_head):
    AtomicHead(32, 7, categories=2).save(with_head)
    with pytest.raises(CheckpointError, match=r"head\.safetensors of with-head.*nunext-train"):
        load_checkpoint(with_head, device="cpu")


def test_a_damaged_head_is_refused_in_words(with_head):
    (with_head / HEAD_FILE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"atomic/head\.safetensors of with-head is damaged"):
        load_checkpoint(with_head, device="cpu")


def test_a_checkpoint_that_lost_its_head_says_so(with_head):
    (with_head / HEAD_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"with-head has no atomic/head\.safetensors.*Copy"):
        describe(with_head)


def test_whatever_writes_weights_anew_leaves_the_head_behind(with_head, tmp_path):
    checkpoint = load_checkpoint(with_head, device="cpu")
    processor = checkpoint.windows.processor
    save_checkpoint(tmp_path / "anew", checkpoint.model, processor, checkpoint.description)
    assert read_description(tmp_path / "anew").atomic is None
    assert load_checkpoint(tmp_path / "anew", device="cpu").atomic_head is None


@pytest.mark.parametrize("tolerance_um", [-0.5, math.nan, math.inf])
def test_a_tolerance_that_is_no_distance_is_refused(with_head, tolerance_um):
    path = with_head / "nunext.json"
    data = json.loads(path.read_text())
    data["atomic"]["tolerance_um"] = tolerance_um
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="tolerance of atomic points"):
        describe(with_head)


def test_descriptions_from_before_there_were_heads_are_read(built):
    data = json.loads((built / "nunext.json").read_text())
    data.pop("atomic", None)
    assert type(read_description(built)).from_json(data).atomic is None


def test_a_tolerance_is_rounded_to_bins(built):
    codec = read_description(built).codec  # 32 bins in 32 px
    assert AtomicPoints(used=True, tolerance_um=1.5).tolerance_bins(codec, mpp=0.5) == 3
    assert AtomicPoints(used=True, tolerance_um=0.2).tolerance_bins(codec, mpp=0.5) == 0
