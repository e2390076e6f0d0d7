"""Models whose weights are spread over processes: FSDP2, and ZeRO-3 of DeepSpeed.

Training never needs a whole model in one place. Decoding does: it reads single rows of the output
layer and takes as many steps as the replies are long, which differs from process to process. So
each process keeps a whole copy beside its shard, in the precision of serving, and brings it up to
date, one weight at a time, before it decodes.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import torch
from trl.distributed import DistributedBackend

from napari_nunext.models.devices import default_dtype

if TYPE_CHECKING:
    from accelerate import Accelerator


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether a process holds a part of the weights only."""
    backend: Any = DistributedBackend(accelerator)  # type: ignore[no-untyped-call]
    return bool(backend.is_fsdp or backend.is_zero3)


def launched_sharded() -> bool:
    """Whether the launcher asked for sharding: known before there is an accelerator."""
    return (
        os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        or os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    )


class WholeCopy:
    """A whole model beside a sharded one.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        Before its weights are spread; this copies it.
    accelerator : Accelerator
    """

    def __init__(self, model: Any, accelerator: Accelerator) -> None:
        self._backend: Any = DistributedBackend(accelerator)  # type: ignore[no-untyped-call]
        device = accelerator.device
        self._model = copy.deepcopy(model).to(device, default_dtype(device)).eval()

    @torch.no_grad()
    def updated(self, sharded: Any) -> Any:
        """The copy with the weights of `sharded`; every process must ask at the same time."""
        mine = dict(self._model.named_parameters())
        for name, parameter in sharded.named_parameters():
            with self._backend.gather_params([parameter]):
                whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
                mine[name].copy_(whole)
        return self._model
