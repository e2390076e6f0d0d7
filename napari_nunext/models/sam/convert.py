"""SAM checkpoints of files of the original segment-anything, and of PromptNucSeg.

Their ``.pth`` files become folders of safetensors. They are read with torch's weights-only reader,
which runs no code of theirs.
"""

from __future__ import annotations

import argparse
import pickle
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from transformers import SamConfig, SamModel

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.identity import file_sha256
from napari_nunext.models.sam.build import ATTENTION_WINDOW, DECODER_HEADS, grid_side, save_new_sam

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_nunext.models.checkpoints.description import SegmenterDescription

_RENAMES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^image_encoder\.", "vision_encoder."),
        (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
        (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
        (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
        (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
        (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
        (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
        (r"\.norm(\d)\.", r".layer_norm\1."),
        (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
        (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
        (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
        (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
        (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
        (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
        (r"\.point_embeddings\.", ".point_embed."),
        (
            r"\.pe_layer\.positional_encoding_gaussian_matrix$",
            ".shared_embedding.positional_embedding",
        ),
        (r"\.output_upscaling\.0\.", ".upscale_conv1."),
        (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
        (r"\.output_upscaling\.3\.", ".upscale_conv2."),
        (r"(\.iou_prediction_head|\.output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.proj_in."),
        (r"(\.iou_prediction_head|\.output_hypernetworks_mlps\.\d+)\.layers\.2\.", r"\1.proj_out."),
        (r"(\.iou_prediction_head|\.output_hypernetworks_mlps\.\d+)\.layers\.1\.", r"\1.layers.0."),
    )
]
"""Names in segment-anything to names in transformers, applied in this order."""


def convert_sam(
    path: Path,
    folder: Path,
    *,
    window_px: int | None = None,
    mpp: float = 0.25,
    name: str | None = None,
) -> SegmenterDescription:
    """Convert a ``.pth`` of segment-anything or PromptNucSeg.

    Parameters
    ----------
    path : Path
        State dictionary, bare or under ``"model"`` as PromptNucSeg keeps it.
    folder : Path
        Where to; must not exist or be empty.
    window_px : int, optional
        Side of the window to run at; the one of its position embedding (1024 in published files)
        when None. PromptNucSeg runs at 256: positions are resampled (absolute ones bicubically,
        relative ones of the global layers linearly), as its own loader does.
    mpp : float
        Micrometres per pixel of the windows it was trained on.
    name : str, optional
        The folder's name when None.

    Raises
    ------
    CheckpointError
        If the file is not a SAM, is incomplete, or holds more than weights.
    InputError
        If `folder` exists and is not empty.
    """
    original = _read_state(path)
    state = {_renamed(key): value for key, value in original.items() if not _is_statistic(key)}
    try:
        config = _config_of(state, window_px)
        state = _atgrid_side(state, config)
        positions = state["prompt_encoder.shared_embedding.positional_embedding"]
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path.name} is not a Segment Anything checkpoint ({error!r}). "
            "Choose a .pth of segment-anything or PromptNucSeg."
        ) from error
    state["shared_image_embedding.positional_embedding"] = positions
    model = SamModel(config)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    wrong = sorted(
        key for key in shapes | state if key not in state or state[key].shape != shapes.get(key)
    )
    if wrong:
        raise CheckpointError(
            f"{path.name} does not fit Segment Anything: {len(wrong)} weights are missing, "
            f"superfluous or of another shape (first: {wrong[0]}). Download it again."
        )
    model.load_state_dict(state)
    provenance = {"recipe": "convert", "source": path.name, "source_sha256": file_sha256(path)}
    return save_new_sam(folder, model, mpp=mpp, name=name, provenance=provenance)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    allowed = _beside_weights()
    try:
        with torch.serialization.safe_globals(allowed):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} is not a file of weights alone and was not loaded, since it could run "
            "code. Save its state_dict() and convert that."
        ) from error
    # The reader of damaged or foreign files raises whatever it runs into.
    except Exception as error:
        line = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path.name} cannot be read ({line}). Copy it again.") from error
    if isinstance(data, dict) and isinstance(data.get("model"), dict):
        data = data["model"]
    if not isinstance(data, dict) or not all(isinstance(v, torch.Tensor) for v in data.values()):
        raise CheckpointError(
            f"{path.name} holds no state dictionary. Choose a .pth of segment-anything or "
            "PromptNucSeg."
        )
    return data


def _beside_weights() -> list[Any]:
    """What training scripts save beside weights: arguments and figures, classes that run nothing.

    PromptNucSeg's ``best.pth`` has its metrics as numpy scalars, under the module's name of then.
    """
    scalar = np.float64(0).__reduce__()[0]
    numbers = np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"
    return [
        argparse.Namespace,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *{type(np.dtype(code)) for code in numbers},
    ]


def _is_statistic(key: str) -> bool:
    """Mean and standard deviation of the pixels, which the image processor has."""
    return key in ("pixel_mean", "pixel_std")


def _renamed(key: str) -> str:
    for pattern, replacement in _RENAMES:
        key = pattern.sub(replacement, key)
    return key


def _config_of(state: Mapping[str, torch.Tensor], window_px: int | None) -> SamConfig:
    """Configuration that these weights have, at the window to run at."""
    positions = state["vision_encoder.pos_embed"]
    trained_grid, width = positions.shape[1], positions.shape[-1]
    patch_px = state["vision_encoder.patch_embed.projection.weight"].shape[-1]
    side = window_px or trained_grid * patch_px
    grid = grid_side(side, patch_px)
    layers = _count(state, r"vision_encoder\.layers\.(\d+)\.")
    relative = [state[f"vision_encoder.layers.{i}.attn.rel_pos_h"] for i in range(layers)]
    local = [len(r) for r in relative if len(r) != 2 * trained_grid - 1]
    hidden = state["prompt_encoder.no_mask_embed.weight"].shape[1]
    iou_hidden = state["mask_decoder.iou_prediction_head.proj_in.weight"].shape[0]
    crossed = state["mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"].shape[0]
    return SamConfig(
        vision_config={
            "hidden_size": width,
            "output_channels": state["vision_encoder.neck.conv1.weight"].shape[0],
            "num_hidden_layers": layers,
            "num_attention_heads": width // relative[0].shape[1],
            "mlp_dim": state["vision_encoder.layers.0.mlp.lin1.weight"].shape[0],
            "image_size": side,
            "patch_size": patch_px,
            "window_size": (local[0] + 1) // 2 if local else ATTENTION_WINDOW,
            "global_attn_indexes": [
                i for i, r in enumerate(relative) if len(r) == 2 * trained_grid - 1
            ],
            "num_pos_feats": hidden // 2,
        },
        prompt_encoder_config={
            "hidden_size": hidden,
            "image_size": side,
            "patch_size": patch_px,
            "image_embedding_size": grid,
            "mask_input_channels": state["prompt_encoder.mask_embed.conv2.weight"].shape[0],
        },
        mask_decoder_config={
            "hidden_size": hidden,
            "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            "num_hidden_layers": _count(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "num_attention_heads": DECODER_HEADS,
            "attention_downsample_rate": hidden // crossed,
            "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            "iou_head_hidden_dim": iou_hidden,
        },
    )


def _count(state: Mapping[str, Any], pattern: str) -> int:
    found = {m[1] for key in state if (m := re.match(pattern, key))}
    return len(found)


def _atgrid_side(state: Mapping[str, torch.Tensor], config: Any) -> dict[str, torch.Tensor]:
    """Weights with their positions resampled to the configuration's grid, where it differs."""
    resampled = dict(state)
    grid = config.prompt_encoder_config.image_embedding_size
    key = "vision_encoder.pos_embed"
    if state[key].shape[1] == grid:
        return resampled
    channels_first = state[key].permute(0, 3, 1, 2)
    resampled[key] = functional.interpolate(
        channels_first, (grid, grid), mode="bicubic", align_corners=False
    ).permute(0, 2, 3, 1)
    for layer in config.vision_config.global_attn_indexes:
        for axis in "hw":
            key = f"vision_encoder.layers.{layer}.attn.rel_pos_{axis}"
            resampled[key] = functional.interpolate(
                state[key].T[None], 2 * grid - 1, mode="linear", align_corners=False
            )[0].T
    return resampled
