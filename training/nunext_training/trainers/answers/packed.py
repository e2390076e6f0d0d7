"""Supervised fine-tuning of an answerer, all questions of a picture behind one prefill (ours).

    nunext-train ask sft --data export --checkpoint ask-base --out answerer   # ask.packed = true

The cross-entropy of every question is that of the question alone: blocks see the prefix and
themselves (`nunext_training.data.answers.packing`), by a mask of four dimensions. Six questions of
a picture cost little more than one. Tokens of the answer may weigh more than those of the thought:
in short replies most tokens are tags, which are learnt in no time. It is the mean over all tokens
of a step, of all its batches and processes, where TRL's is too.

Departures from TRL's SFTTrainer: packing, weights, and examples that are a function of seed and
index, so that a run that was stopped goes on with the same ones. Families that count positions
in three dimensions are taken (Qwen2.5-VL, Qwen3-VL, ours); others train unpacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from napari_nunext.models.families.pictures import first_tokens, inputs_of_text, places_of
from nunext_training.data.answers.packing import PADDING, PREFIX
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nunext_training.data.answers.packing import Packed

OURS = frozenset({"owners", "weights", "labels", "worth", "choice_tokens", "lots"})
"""What is in a batch beside the model's inputs."""


class PackedSftTrainer(TaskTrainer):
    """Learn to say what was right, many questions of a picture at a time."""

    _of_step: Tensor | None = None
    """Weights of all tokens of the step under way, of every process; None where it validates."""

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | None]:
        """As the Trainer's, with the weights of a step's tokens in place of their number."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches:
            return batches, None
        weights = torch.stack([batch["weights"][:, 1:].sum() for batch in batches]).sum()
        return batches, self.accelerator.gather(weights.to(device)).sum()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """As `TaskTrainer`'s."""
        self._of_step = torch.as_tensor(num_items_in_batch) if model.training else None
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Weighted mean over the tokens of all replies; of a batch, its part of the step's."""
        losses, weights = packed_losses(model, inputs)
        if self._of_step is None:
            return (losses * weights).sum() / weights.sum(), ()
        # The Trainer divides by the batches of a step, and gradients are averaged over processes.
        shares = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        return (losses * weights).sum() * shares / self._of_step, ()


def packed_losses(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every token of a reply, and its weight.

    Parameters
    ----------
    model : nn.Module
    inputs : dict of Tensor
        See `packed_inputs`.

    Returns
    -------
    tuple of Tensor
        Shape (B, T - 1) each: of tokens 1 and on; 0 where a token is given.
    """
    logits, kept = _logits(model, inputs)
    weights = inputs["weights"][:, 1:]
    targets = inputs["input_ids"][:, 1:][:, kept]
    found = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    losses = _at(kept, found.view(targets.shape), weights)
    return losses, weights


def packed_likelihoods(
    model: nn.Module, inputs: dict[str, Tensor], temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-likelihood of every token of a reply at a temperature, and the entropy before it.

    Parameters and shapes are those of `packed_losses`; entropies have no gradient.
    """
    logits, kept = _logits(model, inputs)
    weights = inputs["weights"][:, 1:]
    targets = inputs["input_ids"][:, 1:][:, kept]
    every = (logits / temperature).log_softmax(dim=-1)
    said = every.gather(-1, targets[..., None])[..., 0]
    with torch.no_grad():
        entropies = -(every.exp() * every).sum(dim=-1)
    return _at(kept, said, weights), _at(kept, entropies, weights)


def _logits(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Of the places before a token that any row learns, and these places."""
    owners, weights = inputs["owners"], inputs["weights"][:, 1:]
    # The head is dear where a vocabulary is large: only of tokens before one that is learnt.
    kept = (weights > 0).any(dim=0).nonzero()[:, 0]
    logits = model(
        **{name: tensor for name, tensor in inputs.items() if name not in OURS},
        attention_mask=block_mask(owners, next(model.parameters()).dtype),  # of any wrapper
        logits_to_keep=kept,
        use_cache=False,
    ).logits
    return logits.float(), kept


def _at(kept: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Values of some places in the shape of all, 0 where a token is given."""
    every = torch.zeros(weights.shape, dtype=values.dtype, device=values.device)
    return torch.where(weights > 0, every.index_copy(1, kept, values), 0.0)


def packed_inputs(
    model: Any, packed: Sequence[Packed], pictures: Mapping[str, Tensor], image_id: int
) -> dict[str, Tensor]:
    """Prefixes with their blocks as tensors, padded on the right.

    Parameters
    ----------
    model : PreTrainedModel
        Whose places of tokens these are; not wrapped.
    packed : sequence of Packed
    pictures : mapping of Tensor
        What the model takes of each prefix's picture.
    image_id : int
        The token that stands for a piece of a picture.
    """
    padding = model.config.get_text_config().pad_token_id
    ids = _padded([each.ids for each in packed], padding or 0)
    text = inputs_of_text(ids, torch.eq(ids, image_id))
    owners = _padded([each.owners for each in packed], PADDING)
    longest = max(each.prefix for each in packed)
    is_prefix = torch.stack([torch.arange(longest) < each.prefix for each in packed])
    shared = first_tokens(text, longest) | dict(pictures)
    positions, deltas = places_of(model, shared, is_prefix.long())
    places = _padded([each.places for each in packed], 0) + deltas
    places = places.expand(3, -1, -1).to(positions.dtype).clone()
    places[:, :, :longest] = torch.where(is_prefix, positions, places[:, :, :longest])
    weights = _padded([each.weights for each in packed], 0.0)
    return {
        **text,
        **pictures,
        "owners": owners,
        "position_ids": places,
        "weights": weights,
        "labels": torch.where(weights > 0, ids, -100),
    }


def _padded(rows: Sequence[NDArray[Any]], value: float) -> Tensor:
    """Rows of any length as one tensor, filled up on the right."""
    return pad_sequence(
        [torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value
    )


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
