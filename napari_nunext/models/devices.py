"""Where models run, and in which precision."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING

import torch

from napari_nunext.models.quantised import quantisation_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

PAYS_FROM = 2.0
"""bfloat16 on a CPU must multiply so many times faster than float32: elsewhere in a model it is
slower, where numbers are turned from one into the other."""


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """`device`, or the first CUDA device, else an Apple GPU, else the CPU."""
    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA; float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def decoding_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """What a checkpoint is decoded in: bfloat16 where the device has units for it.

    Quantised checkpoints keep float32 beside their small integers on a CPU.
    """
    if device.type == "cpu" and quantisation_of(folder) is None and bfloat16_pays():
        return torch.bfloat16
    return default_dtype(device)


@cache
def bfloat16_pays() -> bool:
    """Whether this CPU multiplies bfloat16 `PAYS_FROM` times as fast as float32; measured once.

    Measured rather than asked: the names of what processors can do differ, and what torch makes of
    it as well. It takes 20 ms.
    """
    ratio = _product_s(torch.float32) / _product_s(torch.bfloat16)
    logger.info("bfloat16 multiplies %.1f times as fast as float32 here", ratio)
    return ratio >= PAYS_FROM


def _product_s(
    dtype: torch.dtype, clock: Callable[[], float] = time.thread_time, repeats: int = 5
) -> float:
    """Time of a product, the shortest of some: CPU time, for others may be at work as well."""
    left, right = torch.ones(1024, 256, dtype=dtype), torch.ones(256, 256, dtype=dtype)
    left @ right  # the first one sets things up
    shortest = float("inf")
    for _ in range(repeats):
        began = clock()
        left @ right
        shortest = min(shortest, clock() - began)
    return max(shortest, 1e-9)
