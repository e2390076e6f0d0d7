"""EfficientNet-Lite0 down to one token for 8 x 8 px: a trunk that has seen photographs.

Features of strides 8, 16 and 32 are brought to the grid of stride 8 and added. Of the published
network (Tan and Le, 2019; the Lite variants of 2020 have no squeeze-and-excite, and ReLU6, which
suits CPUs) the head is left out. Batch norm is folded into the convolutions, once, when a
checkpoint is built: what is trained here sees windows of 64 px, of which a batch says little that
holds for another laboratory, and folded layers run alike in training and in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class Stage(NamedTuple):
    """Blocks of one width: how many, and what the first of them does."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


FIRST_WIDTH = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-Lite0, after its first convolution (stride 2, 32 channels)."""
TAPS = (2, 4, 6)
"""Stages whose ends are read: strides 8, 16 and 32, of 40, 112 and 320 channels."""


class InvertedBottleneck(nn.Module):
    """Widen, look around in each channel by itself, narrow, and add what came in where it fits."""

    def __init__(self, width: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = width * stage.expansion
        self.expand = nn.Conv2d(width, inner, 1) if stage.expansion > 1 else None
        self.depthwise = nn.Conv2d(
            inner, inner, stage.kernel, stride, stage.kernel // 2, groups=inner
        )
        self.project = nn.Conv2d(inner, stage.width, 1)
        self.adds = stride == 1 and width == stage.width

    def forward(self, features: Tensor) -> Tensor:
        """Features, shape (B, width, H, W), to (B, stage's width, H / stride, W / stride)."""
        inner = features
        if self.expand is not None:
            inner = functional.relu6(self.expand(inner))
        made: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return features + made if self.adds else made


class Tap(nn.Module):
    """Reads the end of a stage: what was published is of any size, so it is normed first."""

    def __init__(self, width: int, token_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, token_width)

    def forward(self, features: Tensor) -> Tensor:
        """Features, shape (..., width), to a part of tokens, shape (..., width of a token)."""
        made: Tensor = self.linear(self.norm(features))
        return made


class PublishedStages(nn.Module):
    """The published network's first convolution and stages, down to one of them.

    Parameters
    ----------
    last : int
        The last stage that is needed.
    """

    def __init__(self, last: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, FIRST_WIDTH, 3, 2, 1)
        stages, before = [], FIRST_WIDTH
        for stage in STAGES[: last + 1]:
            blocks = []
            for i in range(stage.blocks):
                blocks.append(InvertedBottleneck(before, stage, stage.stride if i == 0 else 1))
                before = stage.width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def pretrained(self) -> Iterator[nn.Parameter]:
        """The weights that are published: all but what reads the stages' ends."""
        yield from self.first.parameters()
        yield from self.stages.parameters()

    def ends(self, images: Tensor, wanted: Sequence[int]) -> Iterator[Tensor]:
        """Ends of some stages: features of shape (B, H / stride, W / stride, channels)."""
        features = functional.relu6(self.first(images))
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in wanted:
                yield features.permute(0, 2, 3, 1)


class EfficientTrunk(PublishedStages):
    """Tokens of 8 x 8 px of pictures of any size.

    Parameters
    ----------
    width : int
        Of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__(max(TAPS))
        self.taps = nn.ModuleList(Tap(STAGES[tap].width, width) for tap in TAPS)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens, shape (B, width, H / 8, W / 8), of images of shape (B, 3, H, W).

        H and W are multiples of 8; images have mean and deviation of the family's processor.
        """
        with in_float32_where_trained(images):
            return self._tokens(images)

    def _tokens(self, images: Tensor) -> Tensor:
        tokens: Tensor | None = None
        for tap, seen in zip(self.taps, self.seen(images), strict=True):
            made = tap(seen)
            tokens = made if tokens is None else tokens + on_grid_of(tokens, made)
        assert tokens is not None
        return tokens.permute(0, 3, 1, 2)

    def seen(self, images: Tensor) -> Iterator[Tensor]:
        """What the taps read; see `ends`."""
        return self.ends(images, TAPS)


def in_float32_where_trained(images: Tensor) -> torch.autocast:
    """Autocast as it is, but not where a CPU trains.

    There the backward pass of depthwise convolutions takes several times as long in bfloat16 as in
    float32.
    """
    kind = images.device.type
    training_on_cpu = kind == "cpu" and torch.is_grad_enabled()
    return torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and not training_on_cpu)


def on_grid_of(finer: Tensor, coarse: Tensor) -> Tensor:
    """Features of shape (B, h, w, channels) brought to rows and columns of finer ones."""
    channels_first = coarse.permute(0, 3, 1, 2)
    brought = functional.interpolate(channels_first, finer.shape[1:3], mode="bilinear")
    return brought.permute(0, 2, 3, 1)
