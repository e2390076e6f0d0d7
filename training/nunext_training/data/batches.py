"""Batches for teacher forcing: prompt, latent tokens, reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nunext_training.method.losses import IGNORED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nunext.core.codec import Codec
    from nunext_training.data.windows import Example

    PromptBuilder = Callable[[Sequence[NDArray[np.uint8]]], dict[str, Tensor]]
    """Windows to the model's inputs up to and with the latent tokens; rows of one length."""


@dataclass(frozen=True)
class Collator:
    """Examples to a batch.

    Every prompt has the same length, because windows have one size and the instruction is fixed;
    replies are padded on the right. Prompt and latent tokens are given at inference as well, so
    they are not predicted: their labels are `IGNORED`, as is the label of a category that nobody
    has said.

    Parameters
    ----------
    codec : Codec
    build_prompt : callable
        As inference builds it, so that training and serving see the same tokens.
    pad_id : int
    """

    codec: Codec
    build_prompt: PromptBuilder
    pad_id: int

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Inputs of the model, and ``labels`` of shape (B, T)."""
        inputs = dict(self.build_prompt([e.rgb for e in examples]))
        replies = [
            torch.tensor(self.codec.encode(e.points_xy, e.category_indices)) for e in examples
        ]
        reply_ids = _pad(replies, self.pad_id)
        prompt_ids = inputs["input_ids"]
        inputs["input_ids"] = torch.cat([prompt_ids, reply_ids], dim=1)
        inputs["attention_mask"] = torch.cat(
            [torch.ones_like(prompt_ids), _pad([torch.ones_like(r) for r in replies], 0)], dim=1
        )
        if "mm_token_type_ids" in inputs:
            kinds = inputs["mm_token_type_ids"]
            is_text = kinds.new_zeros(reply_ids.shape)
            inputs["mm_token_type_ids"] = torch.cat([kinds, is_text], dim=1)
        inputs["labels"] = torch.cat(
            [torch.full_like(prompt_ids, IGNORED), self._labels(_pad(replies, IGNORED))], dim=1
        )
        return inputs

    def _labels(self, replies: Tensor) -> Tensor:
        """What is to be predicted: the reply, but no comma where a category belongs."""
        if not self.codec.has_categories:
            return replies
        return replies.masked_fill(replies == self.codec.separator_id, IGNORED)


def _pad(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
