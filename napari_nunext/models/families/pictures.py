"""Pictures of any size before text, for families that count places in three dimensions.

A detector's prompts have one window each, all of one size (`napari_nunext.models.families.prompt`).
Answerers read pictures of any size, and several texts may follow one: what their models call the
parts is known here alone. torch is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image
    from transformers import PreTrainedModel, ProcessorMixin

_OF_PICTURES = ("pixel_values", "image_grid_thw")
_KINDS = "mm_token_type_ids"


def texts_can_share(model: PreTrainedModel) -> bool:
    """Whether a model says places of tokens in a way that lets several texts follow a picture."""
    return hasattr(getattr(model, "model", None), "get_rope_index")


def inputs_of_pictures(
    processor: ProcessorMixin, pictures: Sequence[Image.Image]
) -> dict[str, torch.Tensor]:
    """What a model takes of pictures, which keep their sizes."""
    images: Any = processor.image_processor
    made = images(list(pictures), do_resize=False, return_tensors="pt")
    return {name: made[name] for name in _OF_PICTURES}


def inputs_of_text(ids: torch.Tensor, is_image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a model takes of tokens, those of pictures among them; both of shape (B, T)."""
    return {"input_ids": ids, _KINDS: is_image.long()}


def places_of(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where tokens stand.

    Parameters
    ----------
    model : PreTrainedModel
        One whose texts can share.
    inputs : mapping of Tensor
        Of text and pictures.
    mask : Tensor, shape (B, T), optional
        0 at padding.

    Returns
    -------
    tuple of Tensor
        Places, shape (3, B, T), and by how much those behind differ from numbers of tokens, shape
        (B, 1).
    """
    named = {name: inputs[name] for name in (_KINDS, _OF_PICTURES[1])}
    whole: Any = model
    found: tuple[torch.Tensor, torch.Tensor] = whole.model.get_rope_index(
        inputs["input_ids"], **named, **({} if mask is None else {"attention_mask": mask})
    )
    return found


def first_tokens(inputs: Mapping[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """The beginning of what was read, its pictures whole."""
    by_token = inputs["input_ids"].shape
    return {
        name: tensor[:, :count] if tensor.shape == by_token else tensor
        for name, tensor in inputs.items()
    }


def followed_by(inputs: Mapping[str, torch.Tensor], ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What was read with more text behind it, shape (B, R)."""
    more = {"input_ids": ids, "attention_mask": torch.ones_like(ids), _KINDS: torch.zeros_like(ids)}
    return {
        name: torch.cat([tensor, more[name]], dim=1) if name in more else tensor
        for name, tensor in inputs.items()
    }


def each_picture(inputs: Mapping[str, Any]) -> list[dict[str, torch.Tensor]]:
    """What a model takes of pictures, of each apart; none where there are no such inputs."""
    patches_name, grid_name = _OF_PICTURES
    if inputs.get(grid_name) is None:
        return []
    grids = inputs[grid_name]
    patches = inputs[patches_name].split(grids.prod(dim=-1).tolist())
    return [
        {patches_name: own, grid_name: grid[None]} for own, grid in zip(patches, grids, strict=True)
    ]


def all_pictures(pictures: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Inverse of `each_picture`."""
    return {name: torch.cat([each[name] for each in pictures]) for name in _OF_PICTURES}
