"""Supervised fine-tuning of an answerer, all questions of a picture behind one prefill (ours).

    nunext-train ask sft --data export --checkpoint ask-base --out answerer   # ask.packed = true

The cross-entropy of every question is that of the question alone: blocks see the prefix and
themselves (`nunext_training.data.answers.packing`), by a mask of four dimensions. Six questions of
a picture cost little more than one. Tokens of the answer may weigh more than those of the thought:
in short replies most tokens are tags, which are learnt in no time. It is the mean over all tokens
of a batch, where TRL's is too.

Departures from TRL's SFTTrainer: packing, weights, and examples that are a function of seed and
index, so that a run that was stopped goes on with the same ones. Families that count positions
in three dimensions are taken (Qwen2.5-VL, Qwen3-VL, ours); others train unpacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from napari_nunext.models.families import unwrapped
from nunext_training.data.answers.packing import PADDING, PREFIX
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL_INPUTS = ("input_ids", "position_ids", "pixel_values", "image_grid_thw", "mm_token_type_ids")


class PackedSftTrainer(TaskTrainer):
    """Learn to say what was right, many questions of a picture at a time."""

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Weighted mean over the tokens of all replies."""
        losses, weights = packed_losses(model, inputs)
        return (losses * weights).sum() / weights.sum(), ()


def packed_losses(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every token of a reply, and its weight.

    Parameters
    ----------
    model : nn.Module
    inputs : dict of Tensor
        As `nunext_training.tasks.packed_answers` encodes them.

    Returns
    -------
    tuple of Tensor
        Shape (B, T - 1) each: of tokens 1 and on; 0 where a token is given.
    """
    owners, weights = inputs["owners"], inputs["weights"][:, 1:]
    # The head is dear where a vocabulary is large: only of tokens before one that is learnt.
    kept = (weights > 0).any(dim=0).nonzero()[:, 0]
    logits = model(
        **{name: inputs[name] for name in MODEL_INPUTS},
        attention_mask=block_mask(owners, unwrapped(model).dtype),  # type: ignore[arg-type]
        logits_to_keep=kept,
        use_cache=False,
    ).logits
    targets = inputs["input_ids"][:, 1:][:, kept]
    found = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none"
    )
    losses = torch.zeros(weights.shape, dtype=found.dtype, device=found.device)
    losses = losses.index_copy(1, kept, found.view(targets.shape))
    return torch.where(weights > 0, losses, 0.0), weights


def block_mask(owners: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention: 0 where a token sees another, else the least number.

    Parameters
    ----------
    owners : Tensor of int, shape (B, T)
        `PREFIX` for tokens that all see, `PADDING`, or whose block it is.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (B, 1, T, T)
    """
    looking, seen = owners[:, :, None], owners[:, None, :]
    length = owners.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=owners.device).tril()
    # Padding sees itself, so that no row is empty.
    sees = before & ((seen == PREFIX) | (seen == looking)) & ((seen != PADDING) | (looking == seen))
    mask = torch.zeros(sees.shape, dtype=dtype, device=owners.device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[:, None]
