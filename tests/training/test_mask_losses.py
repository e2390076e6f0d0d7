from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nunext_training.method.mask_losses import dice_losses, focal_losses, hard_ious, thought_loss


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 4, 5, generator=generator) * 2
    return logits, torch.randint(0, 2, (3, 4, 5), generator=generator).float()


def dice_by_hand(logits, target):
    zs, ts = logits.flatten().tolist(), target.flatten().tolist()
    pairs = [(sigmoid(z), t) for z, t in zip(zs, ts, strict=True)]
    overlap = sum(p * t for p, t in pairs)
    return 1 - (2 * overlap + 1) / (sum(p for p, _ in pairs) + sum(t for _, t in pairs) + 1)


def test_eq_9_is_cross_entropy_plus_dice(batch):
    logits, target = batch
    each = []
    for z, t in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        each.append(-math.log(sigmoid(z)) if t else -math.log(1 - sigmoid(z)))
    dice = [dice_by_hand(z, t) for z, t in zip(logits, target, strict=True)]
    expected = np.mean(each) + np.mean(dice)
    assert thought_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_taken_mask_by_mask(batch):
    logits, target = batch
    expected = [dice_by_hand(z, t) for z, t in zip(logits, target, strict=True)]
    np.testing.assert_allclose(dice_losses(logits, target).numpy(), expected, rtol=1e-5)


def test_focal_loss_is_the_published_formula(batch):
    logits, target = batch
    expected = []
    for mask, truth in zip(logits, target, strict=True):
        pixels = []
        for z, t in zip(mask.flatten().tolist(), truth.flatten().tolist(), strict=True):
            p = sigmoid(z) if t else 1 - sigmoid(z)
            alpha = 0.25 if t else 0.75
            pixels.append(-alpha * (1 - p) ** 2 * math.log(p))
        expected.append(np.mean(pixels))
    np.testing.assert_allclose(focal_losses(logits, target).numpy(), expected, rtol=1e-5)


def test_a_sure_and_right_mask_costs_nothing_even_where_it_is_empty():
    target = torch.zeros(2, 6, 6)
    target[0, 2:4, 2:4] = 1
    logits = (target * 2 - 1) * 40
    for loss in (dice_losses(logits, target), focal_losses(logits, target)):
        torch.testing.assert_close(loss, torch.zeros(2), atol=1e-6, rtol=0)
    assert thought_loss(logits, target).item() == pytest.approx(0, abs=1e-6)


def test_ious_count_pixels_and_two_empty_masks_agree():
    target = torch.zeros(2, 3, 3)
    target[0, 0, :2] = 1
    logits = torch.full((2, 3, 3), -1.0)
    logits[0, :2, 0] = 1.0  # 2 predicted, 2 true, 1 shared
    assert hard_ious(logits, target).tolist() == pytest.approx([1 / 3, 1.0])
