"""Qwen2.5-VL's processor without videos, by a name that AutoProcessor finds.

The processor that transformers has for these pictures demands torchvision for videos, which no
checkpoint of ours has seen. Registered, with the architecture, when this module is imported.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoProcessor

from napari_nunext.models.families.conv_qwen_model import ConvQwenConfig
from napari_nunext.models.families.qwen_vl import image_only_class

_ImageOnly: Any = image_only_class("Qwen2_5_VL")


class ConvQwenProcessor(_ImageOnly):
    """Pictures and words to a model's inputs, as `Qwen25VL` prepares them."""


AutoProcessor.register(ConvQwenConfig, ConvQwenProcessor)
