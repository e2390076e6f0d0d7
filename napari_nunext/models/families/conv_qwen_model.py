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

from napari_nunext.models.families.trunk import EfficientTrunk

TOKEN_PX = 8
"""Side of an image token: the stem halves three times."""


class ConvVisionConfig(Qwen2_5_VLVisionConfig):
    """Configuration of `ConvVisionTower`."""

    model_type = "conv_qwen_vision"

    stem_widths: list[int] | tuple[int, ...] = (32, 64, 96)
    """Channels of the stem's first three convolutions; the fourth has ``hidden_size``."""
    grid: int = 8
    """Image tokens along a side of the window that the tower learns."""
    trunk: bool = False
    """Whether EfficientNet-Lite0 stands in place of the stem (`EfficientTrunk`)."""


_PARTS = {"vision_config": ConvVisionConfig, "text_config": Qwen2_5_VLTextConfig}


class ConvQwenConfig(Qwen2_5_VLConfig):
    """Configuration of `ConvQwenForConditionalGeneration`."""

    model_type = "conv_qwen"
    # TRL asks by this which Auto class reads a model that is not transformers' own.
    auto_map: ClassVar[dict[str, str]] = {
        "AutoModelForImageTextToText": "conv_qwen_model.ConvQwenForConditionalGeneration"
    }
    # Named anew within the versions that we support.
    if hasattr(PreTrainedConfig, "sub_configs_defaults"):
        sub_configs_defaults: ClassVar[dict[str, Any]] = _PARTS
    else:
        sub_configs: ClassVar[dict[str, Any]] = _PARTS


class ConvVisionTower(PreTrainedModel):
    """Convolutions down to one token for 8 x 8 px, then attention among all tokens of a window.

    The stand-in for Qwen2.5-VL's tower: it takes the patches of that family's processor. Of a
    picture with another grid than that of a window, each block of as many tokens as a window has
    (what is left of one at the right and below) is a window of its own: at full resolution, blocks
    see what the detector has learnt to see.
    """

    config: ConvVisionConfig
    config_class = ConvVisionConfig
    _supports_sdpa = True

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__(config)
        self.spatial_merge_size = 1
        width = config.hidden_size
        self.stem = EfficientTrunk(width) if config.trunk else _plain_stem(config)
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
        pixel_values : Tensor, shape (tokens of all pictures, 3 * 8 * 8)
            Patches in raster order, as Qwen2.5-VL's processor cuts them with one frame each.
        grid_thw : Tensor, shape (B, 3)
            Of every picture 1, and its rows and columns of tokens.

        Returns
        -------
        BaseModelOutputWithPooling
            ``pooler_output``: shape (tokens of all pictures, out_hidden_size), in raster order.
        """
        grid = self.config.grid
        sides = [(rows, columns) for _, rows, columns in grid_thw.tolist()]
        if set(sides) <= {(grid, grid)}:  # windows, as detection has them
            tokens = self._windows(pixel_values.view(-1, grid, grid, pixel_values.shape[-1]))
        else:
            patches = pixel_values.split([rows * columns for rows, columns in sides])
            seen: dict[int, torch.Tensor] = {}
            for size in dict.fromkeys(sides):  # pictures of one size together
                of_size = [i for i, each in enumerate(sides) if each == size]
                pictures = torch.stack([patches[i] for i in of_size]).unflatten(1, size)
                seen |= dict(zip(of_size, self._picture_tokens(pictures), strict=True))
            tokens = torch.cat([seen[i] for i in range(len(sides))])
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=self.merger(tokens)
        )

    def _windows(self, patches: torch.Tensor) -> torch.Tensor:
        """Tokens of windows, shape (B * grid**2, width), of patches (B, grid, grid, 192)."""
        tokens = self._stem_tokens(patches).flatten(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).flatten(0, 1)

    def _picture_tokens(self, patches: torch.Tensor) -> torch.Tensor:
        """Tokens of pictures of one size, shape (B, tokens, width), of patches (B, H, W, 192)."""
        grid = self.config.grid
        count, rows, columns, _ = patches.shape
        positions = self.positions.view(grid, grid, -1)
        at_rows, at_columns = torch.arange(rows) % grid, torch.arange(columns) % grid
        tokens = self._stem_tokens(patches) + positions[at_rows][:, at_columns]
        seen = []
        for strip in tokens.split(grid, dim=1):
            blocks = []
            # The whole blocks of a strip together; what is left of one at its end by itself.
            for part in strip.split([columns - columns % grid, columns % grid], dim=2):
                if part.shape[2]:
                    blocks.append(self._attended(part, min(grid, part.shape[2])))
            seen.append(torch.cat(blocks, dim=2))
        return self.norm(torch.cat(seen, dim=1)).flatten(1, 2).reshape(count, rows * columns, -1)

    def _attended(self, strip: torch.Tensor, width: int) -> torch.Tensor:
        """A strip of blocks, shape (B, rows, columns, width of tokens), each seen by itself."""
        count, rows, columns, _ = strip.shape
        tokens = strip.unflatten(2, (columns // width, width)).transpose(1, 2).flatten(0, 1)
        tokens = tokens.flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = tokens.unflatten(1, (rows, width)).unflatten(0, (count, columns // width))
        return tokens.transpose(1, 2).flatten(2, 3)

    def _stem_tokens(self, patches: torch.Tensor) -> torch.Tensor:
        """What the convolutions make of pictures: (B, H, W, 192) to (B, H, W, width)."""
        count, rows, columns, _ = patches.shape
        images = (
            patches.unflatten(3, (3, TOKEN_PX, TOKEN_PX))
            .permute(0, 3, 1, 4, 2, 5)
            .reshape(count, 3, rows * TOKEN_PX, columns * TOKEN_PX)
        )
        features: torch.Tensor = self.stem(images.contiguous(memory_format=torch.channels_last))
        return features.permute(0, 2, 3, 1)


def _plain_stem(config: ConvVisionConfig) -> nn.Sequential:
    first, second, third = config.stem_widths
    return nn.Sequential(
        nn.Conv2d(3, first, 4, 2, 1),
        nn.GELU(),
        nn.Conv2d(first, second, 4, 2, 1),
        nn.GELU(),
        nn.Conv2d(second, third, 3, 1, 1),
        nn.GELU(),
        nn.Conv2d(third, config.hidden_size, 4, 2, 1),
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

    def get_rope_index(  # type: ignore[override]  # videos among the options
        self,
        input_ids: Any,
        mm_token_type_ids: Any,
        image_grid_thw: Any = None,
        **options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions as Qwen2.5-VL's, but a picture's are spread over those of a window.

        So a place in the picture has the same position at every budget, and none that the detector
        has never seen: Qwen counts tokens, of which a small model has learnt 8 (ours).

        Returns
        -------
        tuple of Tensor
            Positions (3, B, T), fractions among them where a grid is not a window's, and by how
            much the next position differs from the number of tokens, shape (B, 1).
        """
        positions, deltas = super().get_rope_index(
            input_ids, mm_token_type_ids, image_grid_thw=image_grid_thw, **options
        )
        vision: Any = self.config.vision_config
        window = vision.grid
        grids = [] if image_grid_thw is None else image_grid_thw.tolist()
        if all((rows, columns) == (window, window) for _, rows, columns in grids):
            return positions, deltas
        positions, images = positions.float(), iter(grids)
        for row, kinds in enumerate(mm_token_type_ids.tolist()):
            for at in _beginnings(kinds):
                _, rows, columns = next(images)
                longer = max(rows, columns)
                there = slice(at, at + rows * columns)
                start = float(positions[0, row, at])
                _spread(positions[1:, row, there], start, window / longer)
                positions[:, row, there.stop :] += window - longer
                deltas[row] += window - longer
        return positions, deltas


def _beginnings(kinds: list[int]) -> list[int]:
    """Where pictures begin among the kinds of tokens, of which 1 is a picture's."""
    return [i for i, kind in enumerate(kinds) if kind == 1 and (i == 0 or kinds[i - 1] != 1)]


def _spread(positions: torch.Tensor, start: float, share: float) -> None:
    """Move rows and columns of tokens, in place, to the middles of `share` of a position each."""
    positions.sub_(start - 0.5).mul_(share).add_(start - 0.5)


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
