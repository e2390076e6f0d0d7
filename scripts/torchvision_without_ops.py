"""Let torchvision be imported beside a torch for CPUs; a .pth file of the environment loads this.

Only builds for CUDA are published, whose compiled operators a CPU's torch cannot load, and without
the declarations of two of them even ``import torchvision`` fails. vLLM wants its image transforms
alone. So the two are declared, just before torchvision is first imported; calling them still fails.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any

OPERATORS = ("nms", "qnms")


class _DeclareOperators(importlib.abc.MetaPathFinder):
    """Finds nothing: it only notices that torchvision is about to be imported."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        for name in OPERATORS:
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)


sys.meta_path.insert(0, _DeclareOperators())
