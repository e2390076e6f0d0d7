"""Qwen2.5-VL with a convolutional vision tower: the architecture of the bundled detector.

A small model trained from nothing learns to localise sooner when its first layers are convolutions
than when they are linear patches. The language model, rotary positions in two dimensions, cache,
generation and processor are Qwen2.5-VL's own, through inheritance. **Ours**; registered with the
Auto classes when this module is imported.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLModel,
    Qwen2_5_VLTextModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPreTrainedModel

TOKEN_PX = 8
"""Side of an image token: the stem halves three times."""


class ConvVisionConfig(Qwen2_5_VLVisionConfig):
    """Configuration of `ConvVisionTower`."""

    model_type = "conv_qwen_vision"

    stem_widths: list[int] | tuple[int, ...] = (32, 64, 96)
    """Channels of the stem's first three convolutions; the fourth has ``hidden_size``."""
    grid: int = 8
    """Image tokens along a side of the window."""


_PARTS = {"vision_config": ConvVisionConfig, "text_config": Qwen2_5_VLTextConfig}


class ConvQwenConfig(Qwen2_5_VLConfig):
    """Configuration of `ConvQwenForConditionalGeneration`."""

    model_type = "conv_qwen"
    # Named anew within the versions that we support.
    if hasattr(PreTrainedConfig, "sub_configs_defaults"):
        sub_configs_defaults: ClassVar[dict[str, Any]] = _PARTS
    else:
        sub_configs: ClassVar[dict[str, Any]] = _PARTS


class ConvVisionTower(PreTrainedModel):
    """Convolutions down to one token for 8 x 8 px, then attention among all tokens of a window.

    The stand-in for Qwen2.5-VL's tower: it takes the patches of that family's processor.
    """

    config: ConvVisionConfig
    config_class = ConvVisionConfig
    _supports_sdpa = True

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        self.spatial_merge_size = 1
        first, second, third = config.stem_widths
        width = config.hidden_size
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, 2, 1),
            nn.GELU(),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.GELU(),
            nn.Conv2d(second, third, 3, 1, 1),
            nn.GELU(),
            nn.Conv2d(third, width, 4, 2, 1),
        )
        self.positions = nn.Parameter(torch.zeros(config.grid**2, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.merger = nn.Linear(width, config.out_hidden_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As torch does: by a layer's width, rather than one deviation for all."""
        if isinstance(module, ConvVisionTower):
            nn.init.normal_(module.positions, std=0.02)
            return
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()

    def forward(
        self, pixel_values: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Image tokens of windows.

        Parameters
        ----------
        pixel_values : Tensor, shape (B * grid**2, 3 * 8 * 8)
            Patches in raster order, as Qwen2.5-VL's processor cuts them with one frame each.
        grid_thw : Tensor, shape (B, 3)
            Of every window (1, grid, grid); the processor is pinned to it.

        Returns
        -------
        BaseModelOutputWithPooling
            ``pooler_output``: shape (B * grid**2, out_hidden_size), in raster order.
        """
        grid = self.config.grid
        patches = pixel_values.view(-1, grid, grid, 3, TOKEN_PX, TOKEN_PX)
        images = patches.permute(0, 3, 1, 4, 2, 5).reshape(
            len(patches), 3, grid * TOKEN_PX, grid * TOKEN_PX
        )
        features = self.stem(images.contiguous(memory_format=torch.channels_last))
        tokens = features.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens).flatten(0, 1)
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=self.merger(tokens)
        )


class _Block(nn.Module):
    """Pre-norm attention among all tokens of a window, and an MLP."""

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_heads
        self.scale = (width // config.num_heads) ** -0.5
        self.norm_attention = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.intermediate_size),
            nn.GELU(),
            nn.Linear(config.intermediate_size, width),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, length, width = tokens.shape
        qkv = self.qkv(self.norm_attention(tokens))
        heads = qkv.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        # Written out: the fused kernel's backward pass takes several times as long on a CPU, and
        # among the few tokens of a window there is no memory to save.
        scores = query * self.scale @ key.transpose(-1, -2)
        attended = scores.softmax(dim=-1).to(value.dtype) @ value
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return tokens + self.mlp(self.norm_mlp(tokens))


class ConvQwenModel(Qwen2_5_VLModel):
    """Qwen2.5-VL's model around a `ConvVisionTower`."""

    config: ConvQwenConfig

    def __init__(self, config: ConvQwenConfig) -> None:
        Qwen2_5_VLPreTrainedModel.__init__(self, config)  # not the parent's: it builds its tower
        self.visual = ConvVisionTower._from_config(config.vision_config)
        self.language_model = Qwen2_5_VLTextModel._from_config(config.text_config)
        self.rope_deltas = None
        self.post_init()


class ConvQwenForConditionalGeneration(Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL for generation around a `ConvVisionTower`."""

    config: ConvQwenConfig
    config_class = ConvQwenConfig

    def __init__(self, config: ConvQwenConfig) -> None:
        Qwen2_5_VLPreTrainedModel.__init__(self, config)
        self.model = ConvQwenModel(config)
        text: Any = config.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()


AutoConfig.register(ConvQwenConfig.model_type, ConvQwenConfig)
AutoModelForImageTextToText.register(ConvQwenConfig, ConvQwenForConditionalGeneration)
