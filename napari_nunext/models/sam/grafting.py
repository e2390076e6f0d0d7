"""A pretrained trunk for a SAM that has learned: at first it draws as before, then it may learn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_weights
from napari_nunext.models.checkpoints.pretrained_trunk import load_pretrained
from napari_nunext.models.sam.build import save_sam
from napari_nunext.models.sam.trunk_sam import PATCH_PX, AnySam, TrunkSamConfig, TrunkSamModel

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.models.checkpoints.description import SegmenterDescription

_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")


def graft_trunk_on_sam(
    checkpoint: Path, folder: Path, *, name: str | None = None
) -> SegmenterDescription:
    """Have a SAM see by EfficientNet-Lite0 as well; all of its own weights stay.

    What reads the trunk's stages starts at zero, so that masks are those of before.

    Parameters
    ----------
    checkpoint : Path
        A segmenter's, with patches of `PATCH_PX`, without a trunk.
    folder : Path
        Where to; must not exist or be empty.
    name : str, optional
        For people; the folder's name when None.

    Raises
    ------
    CheckpointError
        If the segmenter has a trunk, or other patches, or the weights of EfficientNet-Lite0 are not
        installed.
    InputError
        If `folder` exists and is not empty.
    """
    parent = read_segmenter_description(checkpoint)
    before = load_weights(AnySam, checkpoint, device=torch.device("cpu"), dtype=torch.float32)
    if isinstance(before, TrunkSamModel):
        raise CheckpointError(f"{parent.name} has a trunk already. Train it as it is.")
    given: Any = before.config
    patch_px = given.vision_config.patch_size
    if patch_px != PATCH_PX:
        raise CheckpointError(
            f"{parent.name} has patches of {patch_px} px; expected {PATCH_PX} px, the trunk's "
            "strides. Build one with nunext-train build-sam --preset small."
        )
    config = TrunkSamConfig(**{part: getattr(given, part).to_dict() for part in _PARTS})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TrunkSamModel(config)
    model.load_state_dict(before.state_dict(), strict=False)
    images = SamImageProcessorPil.from_pretrained(checkpoint, local_files_only=True)
    trunk: Any = model.vision_encoder.trunk
    source = load_pretrained(trunk, image_mean=images.image_mean, image_std=images.image_std)
    for tap in trunk.taps():
        torch.nn.init.zeros_(tap.linear.weight)
        torch.nn.init.zeros_(tap.linear.bias)
    provenance = parent.provenance | {
        "recipe": "graft",
        "parent_sha256": checkpoint_sha256(checkpoint),
        "trunk": source,
    }
    made = replace(parent, name=name or folder.name, metrics=(), provenance=provenance)
    return save_sam(folder, model, images, made, parent=checkpoint)
