"""A helper for checkpoints that are trained from nothing: image tokens learn where centres are.

The loss of tokens tells a new vision tower little until the language model can read it, and the
language model has little to read until the tower has learned. So a linear layer, used in training
alone, draws from every image token the map of the centres within its own pixels, and its error is
added to the loss. **Ours**; a pretrained model has no need of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_nunext.core.codec import TOKENS_PER_POINT
from nunext_training.trainers.heads import TrainingHead

if TYPE_CHECKING:
    from torch import Tensor

    from napari_nunext.core.codec import Codec

NEAR = 0.1
"""A pixel of at least this target counts as near a centre..."""
NEAR_WEIGHT = 8.0
"""...and weighs so much more, since few are."""


class CentreMapHead(TrainingHead):
    """Draws the map of centres from image tokens.

    Parameters
    ----------
    width : int
        Of an image token.
    token_px : int
        Side of the square of pixels that a token stands for.
    """

    file = Path("centre_map") / "centre_map_head.safetensors"

    def __init__(self, width: int, token_px: int) -> None:
        super().__init__()
        self.token_px = token_px
        self.pixels = nn.Linear(width, token_px**2)

    def forward(self, tokens: Tensor, batch: int) -> Tensor:
        """Logits of the map, shape (batch, W, W), from tokens of shape (batch * n, width)."""
        pixels = self.pixels(tokens.float()).view(batch, -1, self.token_px**2).transpose(1, 2)
        grid = round(pixels.shape[-1] ** 0.5)
        return functional.pixel_shuffle(pixels.view(batch, -1, grid, grid), self.token_px)[:, 0]


def centre_map(replies: Tensor, codec: Codec, sigma_px: float) -> Tensor:
    """Where the centres of true replies lie: the largest of a Gaussian around each.

    Parameters
    ----------
    replies : Tensor of int, shape (B, T)
        True replies, without latent tokens, padded on the right by what is no token.
    codec : Codec
    sigma_px : float
        Standard deviation, px of the window.

    Returns
    -------
    Tensor, shape (B, window_px, window_px)
        1 at a centre that is a pixel's, 0 everywhere in an empty window.
    """
    first = codec.coordinate_start_id
    points = replies.shape[1] // TOKENS_PER_POINT + 1
    padded = functional.pad(replies, (0, points * TOKENS_PER_POINT - replies.shape[1]), value=-1)
    bins_xy = padded.view(len(replies), points, TOKENS_PER_POINT)[..., :2] - first
    there = ((bins_xy >= 0) & (bins_xy < codec.bins)).all(dim=-1)
    centres_xy = (bins_xy + 0.5) * codec.bin_px
    pixels = torch.arange(codec.window_px, device=replies.device) + 0.5
    near = torch.exp(-((pixels - centres_xy[..., None]) ** 2) / (2 * sigma_px**2))
    x, y = (near * there[..., None, None]).unbind(dim=2)
    return (y[..., :, None] * x[..., None, :]).amax(dim=1)


def centre_map_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, pixels near a centre weighted; a scalar."""
    weights = 1 + (NEAR_WEIGHT - 1) * (targets > NEAR)
    return functional.binary_cross_entropy_with_logits(logits.float(), targets, weight=weights)
