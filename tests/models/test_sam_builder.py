from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import SamModel

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.identity import file_sha256
from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.sam.build import PRESETS, build_sam
from napari_nunext.models.sam.convert import convert_sam
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIGINAL_NAMES = {
    "vision_encoder.layers.0.layer_norm1.weight": "image_encoder.blocks.0.norm1.weight",
    "vision_encoder.layers.1.attn.rel_pos_h": "image_encoder.blocks.1.attn.rel_pos_h",
    "vision_encoder.patch_embed.projection.bias": "image_encoder.patch_embed.proj.bias",
    "vision_encoder.neck.layer_norm2.bias": "image_encoder.neck.3.bias",
    "prompt_encoder.shared_embedding.positional_embedding": (
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
    "prompt_encoder.mask_embed.conv3.weight": "prompt_encoder.mask_downscaling.6.weight",
    "mask_decoder.transformer.layers.1.layer_norm4.bias": (
        "mask_decoder.transformer.layers.1.norm4.bias"
    ),
    "mask_decoder.upscale_conv2.weight": "mask_decoder.output_upscaling.3.weight",
    "mask_decoder.iou_prediction_head.layers.0.bias": (
        "mask_decoder.iou_prediction_head.layers.1.bias"
    ),
    "mask_decoder.output_hypernetworks_mlps.2.proj_out.bias": (
        "mask_decoder.output_hypernetworks_mlps.2.layers.2.bias"
    ),
}
"""A name of each kind, copied from segment-anything's published checkpoint."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM whose local windows and global layers differ in size, as in the published ones."""
    folder = tmp_path_factory.mktemp("sam") / "small"
    build_sam(folder, window_px=512)
    return folder


def test_the_names_in_this_test_are_those_of_segment_anything(
    original_sam_name: Callable[[str], str],
) -> None:
    assert {k: original_sam_name(k) for k in ORIGINAL_NAMES} == ORIGINAL_NAMES


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_original_checkpoint_converts_completely(
    small: Path,
    tmp_path: Path,
    original_sam_state: Callable[[Path], dict[str, torch.Tensor]],
    wrapped: bool,
) -> None:
    state = original_sam_state(small)
    path = tmp_path / "sam.pth"
    metrics = {"f1": np.float64(0.8), "loss": np.float32(0.1), "best": np.bool_(True)}
    beside = {"args": argparse.Namespace(lr=1e-4), "epoch": np.int64(3), "metrics": metrics}
    torch.save({"model": state, **beside} if wrapped else state, path)
    description = convert_sam(path, tmp_path / "converted", mpp=0.5)
    assert description == read_segmenter_description(tmp_path / "converted")
    assert (description.window_px, description.mpp) == (512, 0.5)
    assert description.provenance["source_sha256"] == file_sha256(path)
    before: Any = SamModel.from_pretrained(small, local_files_only=True)
    after: Any = SamModel.from_pretrained(tmp_path / "converted", local_files_only=True)
    expected = before.state_dict()
    assert after.state_dict().keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in after.state_dict().items())
    window = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    prompts = [Prompt(np.array([[100.0, 200.0]]), (True,))]
    answers = [
        list(SamSegmenter(f, device="cpu").segment(window, prompts))
        for f in (small, tmp_path / "converted")
    ]
    assert answers[0] == answers[1]


def test_running_at_a_smaller_window_resamples_the_positions_alone(
    small: Path,
    tmp_path: Path,
    original_sam_state: Callable[[Path], dict[str, torch.Tensor]],
) -> None:
    torch.save({"model": original_sam_state(small)}, tmp_path / "sam.pth")
    description = convert_sam(tmp_path / "sam.pth", tmp_path / "converted", window_px=256)
    assert description.window_px == 256
    before: Any = SamModel.from_pretrained(small, local_files_only=True).state_dict()
    after: Any = SamModel.from_pretrained(
        tmp_path / "converted", local_files_only=True
    ).state_dict()
    assert {k for k in before if not torch.equal(before[k], after[k])} == {
        "vision_encoder.pos_embed",
        "vision_encoder.layers.1.attn.rel_pos_h",
        "vision_encoder.layers.1.attn.rel_pos_w",
    }
    relative = before["vision_encoder.layers.1.attn.rel_pos_h"].numpy()
    # Linear resampling by hand: 63 offsets to 31, sample centres scaled by 63 / 31.
    at = (np.arange(31) + 0.5) * 63 / 31 - 0.5
    expected = np.stack([np.interp(at, np.arange(63), c) for c in relative.T], axis=1)
    np.testing.assert_allclose(
        after["vision_encoder.layers.1.attn.rel_pos_h"].numpy(), expected, atol=1e-5
    )
    assert after["vision_encoder.pos_embed"].shape == (1, 16, 16, 32)


class Runs:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code ran",))


def test_a_file_that_could_run_code_is_refused_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": Runs()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        convert_sam(tmp_path / "evil.pth", tmp_path / "out")
    assert "code ran" not in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\0", b"no weights\n" * 9, b"PK\x03\x04 cut off"])
def test_any_other_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^other\.pth .*[^\n]$") as refused:
        convert_sam(tmp_path / "other.pth", tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_what_is_not_a_sam_or_not_whole_is_refused(
    small: Path,
    tmp_path: Path,
    original_sam_state: Callable[[Path], dict[str, torch.Tensor]],
) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not a Segment Anything checkpoint"):
        convert_sam(tmp_path / "other.pth", tmp_path / "out")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no state dictionary"):
        convert_sam(tmp_path / "list.pth", tmp_path / "out")
    state = original_sam_state(small)
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"does not fit .* 1 weights .*iou_token"):
        convert_sam(tmp_path / "part.pth", tmp_path / "out")
    (tmp_path / "text.pth").write_text("not weights", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"text\.pth"):
        convert_sam(tmp_path / "text.pth", tmp_path / "out")
    with pytest.raises(CheckpointError, match="cannot be read"):
        convert_sam(tmp_path / "absent.pth", tmp_path / "out")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_built_sam_is_served(tmp_path: Path, preset: str) -> None:
    description = build_sam(tmp_path / "sam", preset=preset, window_px=64)
    segmenter = SamSegmenter(tmp_path / "sam", device="cpu")
    assert segmenter.info.parameters == description.parameters
    window = np.zeros((64, 64, 3), np.uint8)
    (answer,) = segmenter.segment(window, [Prompt(np.array([[32.0, 32.0]]), (True,))])
    assert 0 <= answer.score <= 1


def test_a_built_sam_sees_its_image_and_its_gradient_reaches_every_layer(tmp_path: Path) -> None:
    build_sam(tmp_path / "sam", window_px=64)
    model: Any = SamModel.from_pretrained(tmp_path / "sam", local_files_only=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    embeddings = model.get_image_embeddings(images)
    assert (embeddings[0] - embeddings[1]).abs().mean() > 0.1
    points = torch.tensor([[[[10.0, 10.0]], [[50.0, 20.0]]]]).expand(2, -1, -1, -1)
    masks = model(pixel_values=images, input_points=points, multimask_output=False).pred_masks
    assert (masks[:, 0] - masks[:, 1]).abs().max() > 1e-3  # the point matters
    masks.square().mean().backward()
    silent = [
        name
        for name, weight in model.vision_encoder.named_parameters()
        if weight.ndim > 1 and "rel_pos" not in name and weight.grad.abs().max() < 1e-6
    ]
    assert silent == []


def test_neighbouring_points_have_similar_codes(tmp_path: Path) -> None:
    build_sam(tmp_path / "sam", window_px=64)
    model: Any = SamModel.from_pretrained(tmp_path / "sam", local_files_only=True)
    at = torch.tensor([[[[30.0, 30.0]], [[31.0, 30.0]], [[60.0, 5.0]]]])
    near, by, far = model.shared_image_embedding(at, (64, 64))[0, :, 0]
    assert (
        torch.cosine_similarity(near, by, dim=0) > 0.9 > torch.cosine_similarity(near, far, dim=0)
    )


def test_a_window_that_is_no_whole_number_of_patches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Use 96 px"):
        build_sam(tmp_path / "sam", window_px=100)
    with pytest.raises(CheckpointError, match="no preset 'huge'; expected nano or tiny or small"):
        build_sam(tmp_path / "sam", preset="huge")
