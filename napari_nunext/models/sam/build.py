"""New SAM checkpoints: small ones, their weights drawn by lot."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import SamConfig, SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.description import SegmenterDescription
from napari_nunext.models.checkpoints.loading import (
    finish_checkpoint,
    new_checkpoint_folder,
    without_progress_bars,
)

if TYPE_CHECKING:
    from pathlib import Path

ATTENTION_WINDOW = 14
"""Side of the published SAMs' local attention, in patches."""

DECODER_HEADS = 8
"""Of every published SAM; its weights do not tell."""


@dataclass(frozen=True, slots=True)
class SamSize:
    """Depths and widths of a SAM to build."""

    patch_px: int
    """Masks come at a quarter of it, as SAM's decoder has them, and are resampled to the window."""
    attention_window: int
    """Side of local attention, in patches; every second layer sees the whole window."""
    width: int
    layers: int
    channels: int
    """Of the image's embedding, the prompts and the decoder."""
    mlp: int


PRESETS = {
    "nano": SamSize(16, 14, width=32, layers=2, channels=32, mlp=64),
    "tiny": SamSize(16, 14, width=128, layers=4, channels=64, mlp=256),
    "small": SamSize(8, 8, width=192, layers=6, channels=96, mlp=512),
}
"""0.1 M weights for tests; 0.9 M; 2.7 M for nuclei of 10 px, whose masks come at 2 px."""

_HEAD_DIM = 32
_POSITIONS_STD = 0.02
"""Of the absolute positions at the start, as in other vision transformers."""


def build_sam(
    folder: Path,
    *,
    window_px: int = 256,
    mpp: float = 0.5,
    preset: str | SamSize = "nano",
    name: str | None = None,
    seed: int = 0,
) -> SegmenterDescription:
    """Build a small SAM with random weights.

    Parameters
    ----------
    folder : Path
        Where to; must not exist or be empty.
    window_px : int
        Side of the window, a multiple of the preset's patch.
    mpp : float
        Micrometres per pixel of the window.
    preset : str or SamSize
        Key of `PRESETS`, or a size of one's own.
    name : str, optional
        The folder's name when None.
    seed : int
        The same seed gives the same weights.

    Raises
    ------
    CheckpointError
        If the window or preset makes no model.
    InputError
        If `folder` exists and is not empty.
    """
    if isinstance(preset, str) and preset not in PRESETS:
        raise CheckpointError(f"There is no preset {preset!r}; expected {' or '.join(PRESETS)}.")
    size = PRESETS[preset] if isinstance(preset, str) else preset
    grid = grid_side(window_px, size.patch_px)
    config = SamConfig(
        vision_config={
            "hidden_size": size.width,
            "output_channels": size.channels,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.width // _HEAD_DIM,
            "mlp_dim": size.mlp,
            "image_size": window_px,
            "patch_size": size.patch_px,
            "window_size": size.attention_window,
            "global_attn_indexes": list(range(1, size.layers, 2)),
            "num_pos_feats": size.channels // 2,
            "scale": 1.0,
        },
        prompt_encoder_config={
            "hidden_size": size.channels,
            "image_size": window_px,
            "patch_size": size.patch_px,
            "image_embedding_size": grid,
        },
        mask_decoder_config={
            "hidden_size": size.channels,
            "mlp_dim": size.mlp,
            "num_attention_heads": DECODER_HEADS,
            "iou_head_hidden_dim": size.channels,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SamModel(config)
        _draw_weights(model)
    built = preset if isinstance(preset, str) else asdict(preset)
    provenance = {"recipe": "build", "size": built, "seed": seed}
    return save_new_sam(folder, model, mpp=mpp, name=name, provenance=provenance)


def _draw_weights(model: SamModel) -> None:
    """Draw weights to learn from, as segment-anything does: torch's own of each layer.

    transformers draws SAM's image encoder with a deviation of 1e-10, since it is made to be loaded:
    whatever the image, its embedding is the same, and no gradient gets through.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            module.reset_parameters()
    positions: Any = model.vision_encoder.pos_embed
    nn.init.trunc_normal_(positions, std=_POSITIONS_STD)


def grid_side(window_px: int, patch_px: int) -> int:
    """Patches along a side; raises `CheckpointError` where they do not fill it."""
    if window_px < patch_px or window_px % patch_px:
        raise CheckpointError(
            f"A window of {window_px} px is not a multiple of the patch of {patch_px} px. "
            f"Use {max(1, round(window_px / patch_px)) * patch_px} px, for example."
        )
    return window_px // patch_px


def save_new_sam(
    folder: Path, model: SamModel, *, mpp: float, name: str | None, provenance: dict[str, Any]
) -> SegmenterDescription:
    """Write a new SAM as a checkpoint's folder, with its image processor and its description."""
    config: Any = model.config
    side = config.vision_config.image_size
    images = SamImageProcessorPil(
        size={"longest_edge": side},
        pad_size={"height": side, "width": side},
        mask_size={"longest_edge": side // 4},
        mask_pad_size={"height": side // 4, "width": side // 4},
    )
    description = SegmenterDescription(
        name=name or folder.name,
        family="sam",
        mpp=mpp,
        window_px=side,
        provenance=provenance,
    )
    return save_sam(folder, model, images, description)


def save_sam(
    folder: Path,
    model: SamModel,
    images: SamImageProcessorPil,
    description: SegmenterDescription,
    *,
    parent: Path | None = None,
) -> SegmenterDescription:
    """Write a SAM with what is said of it; returns that, with its parameters counted."""
    parameters = sum(p.numel() for p in model.parameters())
    description = replace(description, parameters=parameters)
    with new_checkpoint_folder(folder, description, parent=parent) as part:
        with without_progress_bars():
            model.save_pretrained(part)
        images.save_pretrained(part)
        finish_checkpoint(part, description)
    return description
