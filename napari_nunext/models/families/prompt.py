"""What a model reads before it replies: a window, the instruction and the latent tokens.

Everybody handles prompts, and only a family knows what its model calls the parts and how it wants
them laid out. So a prompt keeps a row for each window, and names its parts when it is passed to a
model. torch is imported here; the families themselves are listed without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ReadsPrompts(Protocol):
    """As much of a family as prompts need; `napari_nunext.models.families.base.Family` has more."""

    def inputs(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        """What its model calls the parts of a prompt, but for the tokens and their mask."""
        ...

    def position_ids(self, model: PreTrainedModel, prompt: Prompt) -> torch.Tensor:
        """Where each token of a prompt stands, as its model counts."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Prompt(Mapping[str, torch.Tensor]):
    """Prompts of B windows: a text and an image each.

    A mapping of the model's inputs, to be passed on whole: ``model(**prompt)``. Apart from
    ``input_ids`` and ``attention_mask``, which every language model takes, its keys and shapes are
    the family's business.

    Parameters
    ----------
    family : Family
        Names the inputs, as `ReadsPrompts` does.
    ids : Tensor of int, shape (B, T)
        Tokens, those of the image among them.
    mask : Tensor of int, shape (B, T)
        0 at padding, which stands on the right, or behind the image.
    is_image : Tensor of bool, shape (T,)
        Where the image's tokens stand, in all rows alike.
    images : mapping of Tensor, shape (B, ...) each
        What `Family.images` made of the windows.
    """

    family: ReadsPrompts
    ids: torch.Tensor
    mask: torch.Tensor
    is_image: torch.Tensor
    images: Mapping[str, torch.Tensor]
    _inputs: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        named = {"input_ids": self.ids, "attention_mask": self.mask} | self.family.inputs(self)
        object.__setattr__(self, "_inputs", named)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._inputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def image_places(self) -> torch.Tensor:
        """Where the image's tokens stand, shape (tokens,)."""
        return self.is_image.nonzero()[:, 0]

    def rows(self, index: torch.Tensor | slice) -> Prompt:
        """Some of the prompts, or some of them several times."""
        images = {name: tensor[index] for name, tensor in self.images.items()}
        return replace(self, ids=self.ids[index], mask=self.mask[index], images=images)

    def showing(self, images: Mapping[str, torch.Tensor], count: int) -> Prompt:
        """The text of the first prompt, `count` times, about other images."""
        ids, mask = (t[:1].expand(count, -1).clone() for t in (self.ids, self.mask))
        return replace(self, ids=ids, mask=mask, images=images)

    def padded(self, length: int, pad_id: int) -> Prompt:
        """The same prompts with padding behind the image, so that each has `length` tokens.

        So prompts of different texts make one batch: images stand at the same places, and all end
        together. Nobody looks at padding, and no position is counted for it.
        """
        missing = length - self.ids.shape[1]
        if missing == 0:
            return self
        cut = int(self.image_places[-1]) + 1
        parts = []
        for tensor, value in ((self.ids, pad_id), (self.mask, 0), (self.is_image[None], False)):
            gap = tensor.new_full((len(tensor), missing), value)
            parts.append(torch.cat([tensor[:, :cut], gap, tensor[:, cut:]], dim=1))
        ids, mask, is_image = parts
        return replace(self, ids=ids, mask=mask, is_image=is_image[0])

    def followed_by(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> Prompt:
        """More text behind each prompt: a reply, for example.

        Parameters
        ----------
        ids : Tensor of int, shape (B, R)
        mask : Tensor of int, shape (B, R), optional
            0 at padding; none is padded when None.
        """
        mask = torch.ones_like(ids) if mask is None else mask
        no_image = self.is_image.new_zeros(ids.shape[1])
        return replace(
            self,
            ids=torch.cat([self.ids, ids], dim=1),
            mask=torch.cat([self.mask, mask], dim=1),
            is_image=torch.cat([self.is_image, no_image]),
        )

    def to(self, device: torch.device | None) -> Prompt:
        """The same on a device; as it is when None."""
        return replace(
            self,
            ids=self.ids.to(device),
            mask=self.mask.to(device),
            is_image=self.is_image.to(device),
            images={name: tensor.to(device) for name, tensor in self.images.items()},
        )
