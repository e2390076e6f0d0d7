from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import map_coordinates
from transformers import set_seed
from transformers.image_utils import IMAGENET_DEFAULT_MEAN as IMAGENET_MEAN
from transformers.image_utils import IMAGENET_DEFAULT_STD as IMAGENET_STD

from napari_nunext.core.errors import CheckpointError, InputError, RecordError
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.families import submodule
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.build import SamSize, build_sam
from napari_nunext.models.sam.grafting import graft_trunk_on_sam
from nunext_training.data.batches import Collator
from nunext_training.data.labelled import select_split
from nunext_training.data.painting import Discs
from nunext_training.data.sources import read_source
from nunext_training.data.windows import RandomWindows, WindowSpec
from nunext_training.method.mask_losses import thought_loss
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.trainers.covt import FrozenSam, ThoughtCollator, ThoughtHead, new_head


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory):
    """A small random SAM. Do not write to it."""
    folder = tmp_path_factory.mktemp("sam") / "sam"
    build_sam(folder, window_px=32)
    return folder


@pytest.fixture
def covt_job(export, category_checkpoint, sam_folder, tmp_path, recipe):
    return SftJob((export,), category_checkpoint, tmp_path / "out", recipe, covt=sam_folder)


def painted_windows(export, checkpoint, length, recipe):
    codec = checkpoint.description.codec
    return RandomWindows(
        select_split(read_source(export).images, "train"),
        WindowSpec(codec.window_px, checkpoint.description.mpp, codec.category_names),
        recipe.windows,
        length=length,
        seed=0,
        painter=Discs(2.0),
    )


def frozen(folder, window_px=32, mpp=0.5):
    return FrozenSam(folder, torch.device("cpu"), window_px=window_px, mpp=mpp)


def test_sam_sees_windows_at_its_own_scale_white_beyond(tmp_path, rng):
    """A nucleus has the size that SAM learned, however small a detector's window is."""
    build_sam(tmp_path / "sam", window_px=64, mpp=0.5)
    window = rng.integers(0, 200, (32, 32, 3), dtype=np.uint8)
    (seen,) = frozen(tmp_path / "sam").pixels([window]).numpy()
    mean, std = (np.array(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    whole = np.full((64, 64, 3), 255, dtype=np.uint8)
    whole[:32, :32] = window
    expected = (whole.transpose(2, 0, 1) / 255 - mean) / std
    np.testing.assert_allclose(seen, expected, atol=1e-5)


@pytest.mark.parametrize(("window_px", "mpp"), [(64, 0.5), (32, 0.5), (32, 0.4), (48, 0.25)])
def test_logits_lie_where_the_window_does(tmp_path, window_px, mpp):
    build_sam(tmp_path / "sam", window_px=64, mpp=0.5)
    sam = frozen(tmp_path / "sam", window_px, mpp)
    masks = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    got = sam._of_window(masks)
    assert got.shape == (2, 1, window_px, window_px)
    # A pixel of the window, in SAM's pixels, in those of its masks, whose first centre is at 0.5.
    side_px = round(window_px * mpp / 0.5)
    at = (np.arange(window_px) + 0.5) * side_px / window_px * 16 / 64 - 0.5
    for mask, logits in zip(masks[:, 0].numpy(), got[:, 0].numpy(), strict=True):
        grid = np.meshgrid(at, at, indexing="ij")
        expected = map_coordinates(mask, grid, order=1, mode="nearest")
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_window_that_sam_does_not_see_whole_is_refused(sam_folder):
    with pytest.raises(InputError, match="which sees 32 px"):
        frozen(sam_folder, window_px=64)


def test_a_sam_with_a_trunk_thinks_along_as_the_one_before(tmp_path):
    size = SamSize(patch_px=8, attention_window=4, width=32, layers=1, channels=32, mlp=32)
    build_sam(tmp_path / "plain", window_px=32, preset=size)
    graft_trunk_on_sam(tmp_path / "plain", tmp_path / "grafted")
    pixels, prompts = torch.randn(2, 3, 32, 32), torch.randn(2, 4, 32)
    expected, got = (
        frozen(tmp_path / name).mask_logits(prompts, pixels) for name in ("plain", "grafted")
    )
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_eq_10_adds_what_sam_makes_of_the_latent_states(
    covt_job, export, category_checkpoint, sam_folder, recipe, recorder, tmp_path
):
    """One step with alpha, one without: they differ by alpha times Eq. 9, computed here."""
    one = replace(recipe, optimiser=replace(recipe.optimiser, steps=1, batch_size=3))
    for alpha in (0.0, 2.0):
        job = replace(
            covt_job,
            out=tmp_path / f"alpha-{alpha}",
            recipe=replace(one, covt=replace(one.covt, alpha=alpha, radius_um=2.0)),
        )
        run_sft(job, recorder)
    plain, joint = (step["loss"] for step in recorder.of("step"))

    loaded = load_checkpoint(category_checkpoint, dtype=torch.float32)
    sam = frozen(sam_folder)
    windows = painted_windows(export, loaded, 3, recipe)
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    base = Collator(loaded.description.codec, loaded.windows, pad_id)
    inputs = ThoughtCollator(base, sam)(list(windows))
    set_seed(recipe.seed)  # as a run does before it makes the head
    head = new_head(loaded.model, sam, category_checkpoint)
    tokens = {k: v for k, v in inputs.items() if not k.startswith(("covt", "labels"))}
    with torch.no_grad():
        hidden = loaded.model(**tokens, output_hidden_states=True).hidden_states[-1]
        prompt = len(loaded.windows.prompt_ids)
        states = hidden[:, prompt - 2 : prompt]  # the prompt ends in the two latent tokens
        logits = sam.mask_logits(head(states), inputs["covt_pixels"])
        expected = thought_loss(logits, inputs["covt_foreground"]).item()
    assert joint - plain == pytest.approx(2 * expected, rel=1e-3)
    kept = json.loads((tmp_path / "alpha-2.0" / "metrics.jsonl").read_text().splitlines()[0])
    assert kept["covt_loss"] == pytest.approx(expected, rel=1e-3)  # before its weight


def test_gradient_reaches_latents_and_language_model_and_leaves_sam_alone(
    export, category_checkpoint, sam_folder, recipe
):
    loaded = load_checkpoint(category_checkpoint, dtype=torch.float32)
    sam = frozen(sam_folder)
    before = {k: v.clone() for k, v in sam.model.state_dict().items()}
    submodule(loaded.model, loaded.family.vision_path).requires_grad_(False)
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    collate = ThoughtCollator(Collator(loaded.description.codec, loaded.windows, pad_id), sam)
    inputs = collate(list(painted_windows(export, loaded, 2, recipe)))
    head = new_head(loaded.model, sam, category_checkpoint)
    tokens = {k: v for k, v in inputs.items() if not k.startswith(("covt", "labels"))}
    hidden = loaded.model.base_model(**tokens).last_hidden_state
    latent_ids = torch.tensor(loaded.description.codec.latent_ids)
    states = hidden[torch.isin(inputs["input_ids"], latent_ids)].view(2, 2, -1)
    logits = sam.mask_logits(head(states), inputs["covt_pixels"])
    thought_loss(logits, inputs["covt_foreground"]).backward()

    embeddings = loaded.model.get_input_embeddings().weight.grad
    assert all(embeddings[i].abs().sum() > 0 for i in loaded.description.codec.latent_ids)
    layers = submodule(loaded.model, loaded.family.layers_path)
    assert all(p.grad is not None for p in layers[0].parameters())
    assert all(p.grad is not None for p in head.parameters())
    assert all(p.grad is None for p in sam.model.parameters())
    vision = submodule(loaded.model, loaded.family.vision_path)
    assert all(p.grad is None for p in vision.parameters())
    for name, tensor in sam.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_checkpoint_serves_and_keeps_its_head_where_readers_of_weights_do_not_look(
    covt_job, recorder
):
    out = run_sft(covt_job, recorder)
    names = [p.name for p in out.glob("*.safetensors")]
    assert names == ["model.safetensors"]
    assert not any("covt" in name for name in load_file(out / "model.safetensors"))
    assert set(load_file(out / ThoughtHead.file)) == {
        f"layers.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")
    }
    provenance = json.loads((out / "nunext.json").read_text())["provenance"]
    assert provenance["covt_sam_sha256"]
    assert provenance["recipe"]["covt"] == {"alpha": 1.0, "target": "discs", "radius_um": 3.5}
    window = np.zeros((32, 32, 3), dtype=np.uint8)
    assert list(NextPointDetector(out).detect([window], cancelled=lambda: False))


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(covt_job, recorder, tmp_path):
    whole = run_sft(replace(covt_job, out=tmp_path / "whole"), recorder)
    asked = iter(range(1, 100))
    assert run_sft(covt_job, recorder, stop=lambda: next(asked) >= 3) is None
    out = run_sft(replace(covt_job, resume=True), recorder)
    for file in ("model.safetensors", ThoughtHead.file):
        ours, theirs = load_file(out / file), load_file(whole / file)
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)


def test_the_next_run_goes_on_with_the_head(covt_job, recorder, sam_folder):
    out = run_sft(covt_job, recorder)
    sam = frozen(sam_folder)
    head = new_head(load_checkpoint(out).model, sam, out)
    saved = load_file(out / ThoughtHead.file)
    for name, tensor in head.state_dict().items():
        torch.testing.assert_close(tensor, saved[name], rtol=0, atol=0)
    with pytest.raises(CheckpointError, match="does not fit"):
        ThoughtHead(8, 4).load(out)


def test_a_checkpoint_without_latents_cannot_think(covt_job, checkpoint, recorder):
    with pytest.raises(InputError, match=r"no latent tokens.*--latents"):
        run_sft(replace(covt_job, checkpoint=checkpoint), recorder)


def test_masks_that_are_asked_for_must_be_there(covt_job, recorder):
    recipe = replace(covt_job.recipe, covt=replace(covt_job.recipe.covt, target="masks"))
    with pytest.raises(RecordError, match="without a mask"):
        run_sft(replace(covt_job, recipe=recipe), recorder)


def test_a_detector_is_no_sam(covt_job, checkpoint, recorder):
    with pytest.raises(CheckpointError, match="expected a segmenter"):
        run_sft(replace(covt_job, covt=checkpoint), recorder)
