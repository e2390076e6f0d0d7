"""Losses of supervised fine-tuning, as pure functions.

Eq. 2 is the naive next-token loss. Eq. 7-8 replace its one-hot target, where a coordinate stands,
by a Gaussian over the K coordinate bins. Eq. 8 averages over the tokens of a sequence; a batch is
the mean of its sequences, so that a crowded window does not outvote a sparse one.

The paper writes the coordinate positions only, and over which tokens the soft-max runs it does not
say. Ours: commas, categories and the end keep their one-hot target and count in the same average,
and the soft-max runs over the whole vocabulary unless ``softmax_over="bins"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from nunext_training.method.choices import SoftmaxOver

IGNORED = -100
"""Label of a token that is given rather than predicted: prompt, latent tokens, padding."""


def gaussian_targets(bins: int, sigma_bins: float) -> Tensor:
    """Soft labels ``s(k | t)`` of every bin t (Eq. 7).

    Parameters
    ----------
    bins : int
        K.
    sigma_bins : float
        Standard deviation, in bins; positive.

    Returns
    -------
    Tensor, shape (K, K)
        Row t is the target distribution of bin t and sums to 1; at the window's edge the mass that
        would lie outside is shared among the bins there are.
    """
    index = torch.arange(bins, dtype=torch.float32)
    return torch.softmax(-((index[None] - index[:, None]) ** 2) / (2 * sigma_bins**2), dim=1)


def token_losses(
    logits: Tensor,
    targets: Tensor,
    *,
    coordinate_start_id: int,
    bins: int,
    soft_targets: Tensor | None = None,
    softmax_over: SoftmaxOver = "vocabulary",
) -> Tensor:
    """Cross-entropy of each predicted token (Eq. 2, or Eq. 8 before its average).

    Parameters
    ----------
    logits : Tensor, shape (N, V)
        At the kept positions only.
    targets : Tensor of int, shape (N,)
        True token ids.
    coordinate_start_id, bins : int
        Where the K coordinate tokens lie in the vocabulary.
    soft_targets : Tensor, shape (K, K), optional
        `gaussian_targets`; None is the naive one-hot loss everywhere.
    softmax_over : {"vocabulary", "bins"}
        What the soft-max of a coordinate position runs over. Other positions always take the
        whole vocabulary.

    Returns
    -------
    Tensor, shape (N,), float32
    """
    logits = logits.float()
    log_probs = functional.log_softmax(logits, dim=-1)
    losses = -log_probs.gather(1, targets[:, None])[:, 0]
    target_bins = targets - coordinate_start_id
    at_coordinate = (target_bins >= 0) & (target_bins < bins)
    if (soft_targets is None and softmax_over == "vocabulary") or not at_coordinate.any():
        return losses
    columns = slice(coordinate_start_id, coordinate_start_id + bins)
    if softmax_over == "bins":
        bin_log_probs = functional.log_softmax(logits[at_coordinate, columns], dim=-1)
    else:
        bin_log_probs = log_probs[at_coordinate, columns]
    true_bins = target_bins[at_coordinate]
    if soft_targets is None:
        coordinate_losses = -bin_log_probs.gather(1, true_bins[:, None])[:, 0]
    else:
        weights = soft_targets.to(bin_log_probs.device)[true_bins]
        coordinate_losses = -(weights * bin_log_probs).sum(dim=1)
    return losses.masked_scatter(at_coordinate, coordinate_losses)


def means_of_sequences(losses: Tensor, sequence: Tensor, n_sequences: int) -> Tensor:
    """Average over each sequence (Eq. 8).

    Parameters
    ----------
    losses : Tensor, shape (N,)
    sequence : Tensor of int, shape (N,)
        Which sequence each loss belongs to; each of ``0..n_sequences - 1`` occurs.
    n_sequences : int

    Returns
    -------
    Tensor, shape (n_sequences,)
    """
    totals = losses.new_zeros(n_sequences).index_add(0, sequence, losses)
    return totals / torch.bincount(sequence, minlength=n_sequences)


def divergences(logits: Tensor, parent_logits: Tensor, kept: Tensor) -> Tensor:
    """How far what is said is from what a parent says: KL(parent || model), a mean of tokens.

    Parameters
    ----------
    logits, parent_logits : Tensor, shape (B, T, V)
        A token that the parent is not to be asked about has ``-inf`` in `parent_logits`.
    kept : Tensor of bool, shape (B, T)
        Positions that count; one or more in every row.

    Returns
    -------
    Tensor, shape (B,), float32
        0 where both say the same; gradients go to `logits` alone.
    """
    ours = functional.log_softmax(logits[kept].float(), dim=-1)
    theirs = functional.log_softmax(parent_logits[kept].detach().float(), dim=-1)
    # 0 log 0 is 0: what the parent never says adds nothing.
    terms = theirs.exp() * (theirs.clamp(min=torch.finfo(theirs.dtype).min) - ours)
    return means_of_sequences(terms.sum(dim=-1), kept.nonzero()[:, 0], len(kept))


def distances(tokens: Tensor, parent_tokens: Tensor) -> Tensor:
    """How far image tokens are from a parent's: mean squares, as a share of the latter's variance.

    Parameters
    ----------
    tokens, parent_tokens : Tensor, shape (B, T, width)

    Returns
    -------
    Tensor, shape (B,), float32
        0 where both are the same; gradients go to `tokens` alone.
    """
    theirs = parent_tokens.detach().float()
    apart = (tokens.float() - theirs).square().mean(dim=(1, 2))
    return apart / theirs.var().clamp(min=torch.finfo(theirs.dtype).tiny)


def reply_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    coordinate_start_id: int,
    bins: int,
    soft_targets: Tensor | None = None,
    softmax_over: SoftmaxOver = "vocabulary",
) -> Tensor:
    """Loss of a batch of replies: Eq. 2 (averaged as Eq. 8) or Eq. 8.

    Parameters
    ----------
    logits : Tensor, shape (B, T, V)
        ``logits[:, t]`` predicts ``labels[:, t]``: the shift is the caller's.
    labels : Tensor of int, shape (B, T)
        `IGNORED` where nothing is predicted; every row predicts at least one token.
    coordinate_start_id, bins, soft_targets, softmax_over
        As `token_losses`.
    """
    kept = labels != IGNORED
    losses = token_losses(
        logits[kept],
        labels[kept],
        coordinate_start_id=coordinate_start_id,
        bins=bins,
        soft_targets=soft_targets,
        softmax_over=softmax_over,
    )
    return means_of_sequences(losses, kept.nonzero()[:, 0], len(labels)).mean()
