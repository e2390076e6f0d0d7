from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_nunext.models.checkpoints.integrity import token_ids
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.build import build_sam
from nunext_training.recipes.sections import LoraOptions
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.trainers.lora import add_lora, merge_saved, merged


@pytest.fixture
def lora_job(export, category_checkpoint, tmp_path, recipe):
    recipe = replace(recipe, lora=LoraOptions(rank=4, alpha=8.0))
    return SftJob((export,), category_checkpoint, tmp_path / "out", recipe)


@pytest.fixture
def adapted(category_checkpoint):
    """A checkpoint, and its model with additions that are not nothing."""
    loaded = load_checkpoint(category_checkpoint, dtype=torch.float32)
    model = add_lora(loaded, LoraOptions(rank=4, alpha=8.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return loaded, model


def window():
    return np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def logits(model, loaded):
    with torch.no_grad():
        return model(**loaded.windows([window()])).logits


def test_only_additions_and_the_rows_of_nunexts_tokens_are_trained(adapted, category_checkpoint):
    loaded, model = adapted
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("lora_" in name or "trainable_tokens" in name for name in trained)
    assert not any("visual" in name for name in trained)
    codec = loaded.description.codec
    (rows,) = [p for name, p in model.named_parameters() if "trainable_tokens" in name]
    assert len(rows) == len(token_ids(codec)) - 1  # the comma is known already


def test_merged_weights_say_the_same_and_leave_nothing_behind(adapted):
    loaded, model = adapted
    before = {name: p.clone() for name, p in model.named_parameters()}
    expected = logits(model, loaded)
    with merged(model):
        base = model.get_base_model()
        hidden = base.base_model(**loaded.windows([window()])).last_hidden_state
        by_rows = torch.nn.functional.linear(hidden, base.get_output_embeddings().weight)
        torch.testing.assert_close(by_rows, expected, rtol=1e-4, atol=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)
    torch.testing.assert_close(logits(model, loaded), expected, rtol=0, atol=0)


def test_what_was_saved_merges_into_the_parent(adapted, category_checkpoint, tmp_path):
    loaded, model = adapted
    model.save_pretrained(tmp_path)
    fresh = load_checkpoint(category_checkpoint, dtype=torch.float32)
    whole = merge_saved(fresh.model, tmp_path)
    torch.testing.assert_close(logits(whole, loaded), logits(model, loaded), rtol=1e-4, atol=1e-4)


def test_a_merged_checkpoint_comes_out_and_differs_from_its_parent_where_it_was_trained(
    lora_job, category_checkpoint, recorder
):
    out = run_sft(lora_job, recorder)
    assert [v["step"] for v in recorder.of("validation")] == [3, 6]
    ours = load_file(out / "model.safetensors")
    parents = load_file(category_checkpoint / "model.safetensors")
    assert ours.keys() == parents.keys()
    changed = {name for name in ours if not torch.equal(ours[name], parents[name])}
    assert any("self_attn.q_proj" in name for name in changed)
    assert any("embed_tokens" in name for name in changed)
    assert not any("visual" in name or "norm" in name for name in changed)
    assert not list(out.glob("adapter*"))
    assert list(NextPointDetector(out).detect([window()], cancelled=lambda: False))


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(lora_job, recorder, tmp_path):
    whole = run_sft(replace(lora_job, out=tmp_path / "whole"), recorder)
    asked = iter(range(1, 100))
    assert run_sft(lora_job, recorder, stop=lambda: next(asked) >= 3) is None
    out = run_sft(replace(lora_job, resume=True), recorder)
    ours, theirs = (load_file(f / "model.safetensors") for f in (out, whole))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)


def test_it_goes_with_visual_thought_and_with_gradient_checkpointing(lora_job, recorder, tmp_path):
    build_sam(tmp_path / "sam", window_px=32)
    recipe = lora_job.recipe
    losses = {}
    for checkpointing in (False, True):
        changed = replace(recipe.optimiser, steps=2, gradient_checkpointing=checkpointing)
        run_sft(
            replace(
                lora_job,
                recipe=replace(recipe, optimiser=changed),
                covt=tmp_path / "sam",
                out=tmp_path / f"out-{checkpointing}",
            ),
            recorder,
        )
        losses[checkpointing] = [s["loss"] for s in recorder.of("step")][-2:]
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
