"""Losses of masks, as pure functions: for the chain of visual thought and for the segmenter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0
"""Of RetinaNet, as PromptNucSeg has them."""

_SMOOTH = 1.0
"""Pixels added to both sides of the Dice ratio: an empty mask that is left empty costs nothing."""


def dice_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """``1 - (2 |P T| + 1) / (|P| + |T| + 1)`` of each mask, P being probabilities.

    Parameters
    ----------
    logits, targets : Tensor, shape (N, H, W)
        Targets are 0 or 1.

    Returns
    -------
    Tensor, shape (N,)
    """
    probabilities = logits.sigmoid().flatten(1)
    flat = targets.flatten(1).to(probabilities.dtype)
    overlap = (probabilities * flat).sum(dim=1)
    total = probabilities.sum(dim=1) + flat.sum(dim=1)
    return 1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)


def focal_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss of each mask, the mean of its pixels; shapes as `dice_losses`."""
    truth = targets.to(logits.dtype)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability_of_truth = torch.exp(-cross_entropy)
    weight = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    return (weight * (1 - probability_of_truth) ** FOCAL_GAMMA * cross_entropy).flatten(1).mean(1)


def thought_loss(logits: Tensor, foreground: Tensor) -> Tensor:
    """L_CoVT (Eq. 9): binary cross-entropy plus Dice, the mean of a batch of windows.

    Parameters
    ----------
    logits, foreground : Tensor, shape (B, H, W)
        Foreground is 1 inside any nucleus and 0 elsewhere.
    """
    truth = foreground.to(logits.dtype)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    return cross_entropy + dice_losses(logits, truth).mean()


def hard_ious(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of each mask where logits are positive, shape (N,); two empty masks have 1."""
    predicted, true = logits.flatten(1) > 0, targets.flatten(1) > 0
    overlap = (predicted & true).sum(dim=1)
    union = (predicted | true).sum(dim=1)
    return torch.where(union > 0, overlap / union.clamp(min=1), 1.0)
