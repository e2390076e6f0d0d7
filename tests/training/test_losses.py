"""Losses against loops that follow the equations letter by letter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nunext_training.method.losses import IGNORED, gaussian_targets, reply_loss, token_losses

START, BINS, VOCABULARY = 5, 6, 14


def eq7(k: int, t: int, bins: int, sigma: float) -> float:
    weights = [math.exp(-((j - t) ** 2) / (2 * sigma**2)) for j in range(bins)]
    return weights[k] / sum(weights)


def brute_force_token(z, target, sigma, softmax_over) -> float:
    log_p = [v - math.log(sum(math.exp(w) for w in z)) for v in z]
    t = target - START
    if not 0 <= t < BINS:
        return -log_p[target]
    if softmax_over == "bins":
        in_bins = z[START : START + BINS]
        log_bins = [v - math.log(sum(math.exp(w) for w in in_bins)) for v in in_bins]
    else:
        log_bins = log_p[START : START + BINS]
    if sigma is None:
        return -log_bins[t]
    return -sum(eq7(k, t, BINS, sigma) * log_bins[k] for k in range(BINS))


@given(bins=st.integers(2, 40), sigma=st.floats(0.2, 8))
def test_soft_labels_follow_eq_7(bins, sigma):
    table = gaussian_targets(bins, sigma)
    for t in (0, bins // 2, bins - 1):
        expected = [eq7(k, t, bins, sigma) for k in range(bins)]
        np.testing.assert_allclose(table[t].numpy(), expected, atol=1e-6)


def test_soft_labels_sum_to_one_even_at_the_edge():
    np.testing.assert_allclose(gaussian_targets(64, 3.0).sum(dim=1).numpy(), 1, atol=1e-6)


@pytest.mark.parametrize("softmax_over", ["vocabulary", "bins"])
@pytest.mark.parametrize("sigma", [None, 1.3])
def test_token_losses_of_eq_2_and_8_equal_brute_force(rng, sigma, softmax_over):
    logits = torch.tensor(rng.normal(size=(VOCABULARY, VOCABULARY)))
    targets = torch.arange(VOCABULARY)  # every token once: coordinates, comma, end
    losses = token_losses(
        logits,
        targets,
        coordinate_start_id=START,
        bins=BINS,
        soft_targets=None if sigma is None else gaussian_targets(BINS, sigma),
        softmax_over=softmax_over,
    )
    expected = [
        brute_force_token(z, t, sigma, softmax_over)
        for z, t in zip(logits.tolist(), targets.tolist(), strict=True)
    ]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


def test_eq_2_over_the_vocabulary_is_plain_cross_entropy(rng):
    logits = torch.tensor(rng.normal(size=(7, VOCABULARY)))
    targets = torch.tensor([0, 5, 6, 10, 11, 13, 5])
    losses = token_losses(logits, targets, coordinate_start_id=START, bins=BINS)
    expected = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    torch.testing.assert_close(losses, expected)


def test_soft_loss_is_least_where_the_model_says_the_soft_label():
    soft = gaussian_targets(BINS, 1.0)
    target = torch.tensor([START + 2])

    def loss(log_probs_of_bins):
        logits = torch.full((1, VOCABULARY), -30.0)
        logits[0, START : START + BINS] = log_probs_of_bins
        return token_losses(
            logits, target, coordinate_start_id=START, bins=BINS, soft_targets=soft
        ).item()

    ideal = loss(soft[2].log())
    one_hot = loss(torch.nn.functional.one_hot(torch.tensor(2), BINS) * 12.0)
    assert ideal < one_hot
    entropy = -(soft[2] * soft[2].log()).sum().item()
    assert ideal == pytest.approx(entropy, abs=1e-4)


def test_eq_8_averages_a_sequence_and_a_batch_its_sequences_whatever_their_length(rng):
    logits = torch.tensor(rng.normal(size=(2, 4, VOCABULARY)))
    labels = torch.tensor([[6, 7, 1, 0], [0, IGNORED, IGNORED, IGNORED]])
    soft = gaussian_targets(BINS, 0.8)
    loss = reply_loss(logits, labels, coordinate_start_id=START, bins=BINS, soft_targets=soft)
    long = [
        brute_force_token(logits[0, t].tolist(), labels[0, t].item(), 0.8, "vocabulary")
        for t in range(4)
    ]
    short = brute_force_token(logits[1, 0].tolist(), 0, 0.8, "vocabulary")
    assert loss.item() == pytest.approx((sum(long) / 4 + short) / 2, rel=1e-5)


def test_given_tokens_leave_no_gradient(rng):
    logits = torch.tensor(rng.normal(size=(1, 3, VOCABULARY)), requires_grad=True)
    labels = torch.tensor([[IGNORED, 6, IGNORED]])
    reply_loss(logits, labels, coordinate_start_id=START, bins=BINS).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].abs().sum() > 0
    assert logits.grad[0, [0, 2]].abs().sum() == 0
