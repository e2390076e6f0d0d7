"""Batches for teacher forcing: prompt, latent tokens, reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from nunext_training.method.losses import IGNORED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.families.prompt import Prompt
    from nunext_training.data.windows import Example

    class PromptBuilder(Protocol):
        """Windows to prompts up to and with the latent tokens; see `WindowProcessor`."""

        def __call__(
            self, windows: Sequence[NDArray[np.uint8]], *, asked: Sequence[Sequence[str]] = ()
        ) -> Prompt:
            """Prompts of windows, some of which may be asked for some categories alone."""
            ...


REPLAYED = "replayed"
"""In a batch: which of its windows show what the parent knew."""
KNOWN = "known"
"""In a batch: which of its windows are there in colours that the parent knows, too."""
EVERYTHING = "everything"
"""In a batch: replies that name every nucleus, where some windows are asked for some alone."""


def part_of(batch: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """What a parent reads of the windows of a batch that are `REPLAYED` or `KNOWN`, if any."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in batch.items() if k.startswith(prefix)}


def inputs_of(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a model reads of a batch: nothing that is for its parent, and no other replies."""
    beside = (REPLAYED, KNOWN, EVERYTHING)
    return {k: v for k, v in batch.items() if k.split(".")[0] not in beside}


@dataclass(frozen=True)
class Collator:
    """Examples to a batch.

    Every prompt has the same length, because windows have one size and the instruction is fixed,
    or shorter ones are padded; replies are padded on the right. Prompt and latent tokens are given
    at inference as well, so they are not predicted: their labels are `IGNORED`, as is the label of
    a category that nobody has said.

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
        """Inputs of the model, and ``labels`` of shape (B, T).

        Where some examples are replayed, also ``replayed``, bool of shape (B,), and what a model
        reads of them alone, under the names that `part_of` reads. Where some are there in colours
        that a parent knows, likewise ``known``, with what it reads before it replies: the same
        windows in these colours. Where some are asked for
        some categories alone, also ``everything``, shape (B, R): replies that name every nucleus,
        padded by `IGNORED`, for what shows all of them whatever is asked; of a window whose other
        nuclei nobody knows there is padding alone.
        """
        named = any(e.asked for e in examples)
        asked = [e.asked for e in examples] if named else []
        prompt = self.build_prompt([e.rgb for e in examples], asked=asked)
        replies = [
            torch.tensor(self.codec.encode(e.points_xy, e.category_indices)) for e in examples
        ]
        mask = _pad([torch.ones_like(r) for r in replies], 0)
        whole = prompt.followed_by(_pad(replies, self.pad_id), mask)
        ignored = torch.full_like(prompt.ids, IGNORED)
        labels = torch.cat([ignored, self._labels(_pad(replies, IGNORED))], dim=1)
        batch = {**whole, "labels": labels}
        if named:
            batch[EVERYTHING] = _pad([self._everything(e) for e in examples], IGNORED)
        replayed = torch.tensor([e.replayed for e in examples])
        if replayed.any():
            part = whole.rows(replayed.nonzero()[:, 0])
            batch |= {f"{REPLAYED}.{name}": tensor for name, tensor in part.items()}
            batch[REPLAYED] = replayed
        shown = [e.known_rgb for e in examples if e.known_rgb is not None]
        if shown:
            known = self.build_prompt(shown)
            batch |= {f"{KNOWN}.{name}": tensor for name, tensor in known.items()}
            batch[KNOWN] = torch.tensor([e.known_rgb is not None for e in examples])
        return batch

    def _everything(self, example: Example) -> Tensor:
        points_xy = example.everything_xy if example.asked else example.points_xy
        if points_xy is None:
            return torch.full((1,), IGNORED)
        unknown = (UNKNOWN_CATEGORY,) * len(points_xy) if self.codec.has_categories else None
        return torch.tensor(self.codec.encode(points_xy, unknown))

    def _labels(self, replies: Tensor) -> Tensor:
        """What is to be predicted: the reply, but no comma where a category belongs."""
        if not self.codec.has_categories:
            return replies
        return replies.masked_fill(replies == self.codec.separator_id, IGNORED)


def _pad(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
