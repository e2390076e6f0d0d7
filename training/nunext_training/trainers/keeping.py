"""The parent, frozen, beside the model that learns: what it would say of a window."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel

from napari_nunext.models.families import submodule
from nunext_training.trainers.last_output import LastOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from napari_nunext.models.checkpoints.description import CheckpointDescription

logger = logging.getLogger(__name__)

TOLD_FROM_BYTES = 500_000_000
"""A copy of the parent that takes as much is told of: less is not what a machine runs out of."""


class FrozenParent:
    """Says what it said before the training, however far that is.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        Before it learns. Of additions to frozen weights nothing is copied: without them it is the
        parent.
    unlearned : sequence of int
        Tokens that it was given and never taught: it is not asked how likely they are.
    vision_path : str
        Of its vision tower, where `image_tokens` are asked for.
    """

    def __init__(self, model: Any, unlearned: Sequence[int] = (), *, vision_path: str = "") -> None:
        self._adapted = isinstance(model, PeftModel)
        if not self._adapted and (size := _bytes(model)) >= TOLD_FROM_BYTES:
            logger.warning(
                "The parent is kept beside the model that learns, to ask it what it would say: "
                "%.1f GB more memory. With lora.rank above 0 nothing is copied; with keeping.kl = "
                "0 it is not asked.",
                size / 1e9,
            )
        self._model = model if self._adapted else _frozen(model)
        self._unlearned = list(unlearned)
        tower = submodule(self._model, vision_path) if vision_path else None
        self._tokens = None if tower is None else LastOutput(tower, "pooler_output")

    @torch.no_grad()
    def logits(self, inputs: Mapping[str, Tensor], tokens: int) -> Tensor:
        """Its logits at the last positions, shape (B, tokens, V); ``-inf`` of `unlearned`."""
        options = {"logits_to_keep": tokens, "use_cache": False}
        with self._as_it_was():
            logits: Tensor = self._model(**inputs, **options).logits
        if self._unlearned:
            logits = logits.clone()
            logits[..., self._unlearned] = -torch.inf
        return logits

    def image_tokens(self, windows: int) -> Tensor:
        """What it made of so many windows when it was last asked, shape (windows, T, width)."""
        assert self._tokens is not None, "no path to its vision tower was given"
        return by_window(self._tokens.take(), windows)

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        if not self._adapted:
            yield
            return
        was_training = self._model.training
        self._model.eval()
        try:
            with self._model.disable_adapter():
                yield
        finally:
            self._model.train(was_training)


def _bytes(model: Any) -> int:
    """What a copy takes."""
    own = (*model.parameters(), *model.buffers())
    return sum(each.numel() * each.element_size() for each in own)


def _frozen(model: Any) -> Any:
    copy = deepcopy(model)
    copy.requires_grad_(False)
    return copy.eval()


def by_window(tokens: Tensor, windows: int) -> Tensor:
    """Image tokens as a tower puts them out, shape (windows, T, width)."""
    return tokens.reshape(windows, -1, tokens.shape[-1])


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is done with windows of what the parent knew."""

    learns_truth: bool = True
    """Whether their nuclei are learned from."""
    weight: float = 0.0
    """Of the divergence from what the parent says there; 0 asks no parent."""
    parent: FrozenParent | None = None
    seeing: float = 0.0
    """Weight of the distance of image tokens from the parent's, who sees new windows in colours
    that it knows, and those that are replayed as they are; 0 compares none."""
    tokens: LastOutput | None = None
    """Of the tower that learns."""


WITHOUT_PARENT = Keeping()


def unlearned_tokens(description: CheckpointDescription) -> tuple[int, ...]:
    """Tokens of categories that a checkpoint was given last and was never taught."""
    provenance, codec = description.provenance, description.codec
    if provenance.get("recipe") != "add categories":
        return ()
    added = set(provenance.get("added", ()))
    named = zip(codec.category_names, codec.category_ids, strict=True)
    return tuple(token for name, token in named if name in added)
