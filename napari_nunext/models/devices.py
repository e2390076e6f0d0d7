"""Where models run, and in which precision."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from napari_nunext.core.process.precision import Precision


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


def named_dtype(precision: Precision) -> torch.dtype | None:
    """The type of a precision's name; None for what the device decides."""
    return {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


@cache
def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies bfloat16 in instructions of their own: of AMX, or of AVX-512.

    Asked rather than measured: the same command must give the same figures on a busy machine and
    on a quiet one. AVX-512 without those of bfloat16 saves no time. A torch that cannot say is
    taken to have none.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
