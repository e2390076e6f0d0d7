"""How much a device takes at once: windows under way, windows read together, and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_nunext.models.families import unwrapped
from napari_nunext.models.next_point.decoder import last_position

if TYPE_CHECKING:
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

MOST_WINDOWS = 512
"""Under way at once; larger batches gain nothing more."""

CACHE_BYTES = {"cpu": 0.5e9, "mps": 1e9}
"""Keys and values of all windows under way; on CUDA, `CUDA_SHARE` of the memory that is free."""
CUDA_SHARE = 0.5

READING_FLOP = {"cpu": 4e10, "mps": 1e12, "cuda": 2e13}
"""Arithmetic of the prompts that are read together: about a tenth of a second of the device."""
MOST_READ = 64
FIRST_SHARE = 8
"""With nothing under way, so many times fewer are read: the first points come so much sooner."""


def most_windows(checkpoint: LoadedCheckpoint) -> int:
    """Windows that may be under way at once, at least 1.

    What they need is reckoned with replies of half the longest length. Where that is not enough,
    memory runs out, and fewer go on.
    """
    description, device = checkpoint.description, checkpoint.device
    config: Any = unwrapped(checkpoint.model).get_decoder().config
    width = config.num_key_value_heads * _head_width(config)
    token_bytes = 2 * config.num_hidden_layers * width * checkpoint.model.dtype.itemsize
    reply = (last_position(description.codec, description.max_points) + 1) // 2
    row_bytes = token_bytes * (len(checkpoint.windows.prompt_ids) + reply)
    if device.type == "cuda":
        budget = CUDA_SHARE * torch.cuda.mem_get_info(device)[0]
    else:
        budget = CACHE_BYTES.get(device.type, CACHE_BYTES["cpu"])
    return max(1, min(MOST_WINDOWS, int(budget / row_bytes)))


def most_read(checkpoint: LoadedCheckpoint) -> int:
    """Windows whose prompts are read together, at least 1: nobody waits long behind them."""
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    flop = 2 * parameters * len(checkpoint.windows.prompt_ids)
    budget = READING_FLOP.get(checkpoint.device.type, READING_FLOP["cpu"])
    return max(1, min(MOST_READ, int(budget / flop)))


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps for later of a GPU's memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _head_width(config: Any) -> int:
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
