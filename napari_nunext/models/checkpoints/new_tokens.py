"""The tokens of NuNext in a tokenizer and a model, and a checkpoint around them.

What building from nothing and extending a pretrained model share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import torch

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.codec import (
    SEPARATOR_TEXT,
    Codec,
    category_token,
    coordinate_token,
    latent_token,
)
from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.models.checkpoints.description import CheckpointDescription, default_max_points
from napari_nunext.models.checkpoints.loading import save_checkpoint
from napari_nunext.models.families import embedding_rows, pin_window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

ROW_MULTIPLE = 64
"""Embedding rows are padded to this, as GPUs like them."""

LARGEST_HALO_UM = 10.0


class Choices(TypedDict, total=False):
    """What a new detector is told beside its tokens and its window."""

    halo_um: float | None
    """As `halo_of` chooses when None."""
    max_points: int | None
    """`default_max_points` when None."""
    instruction: str
    """The prompt; the paper's by default."""
    name: str | None
    """For people; the folder's name when None."""


def write_new(
    folder: Path,
    model: PreTrainedModel,
    processor: Any,
    about: tuple[str, Codec, tuple[Category, ...], int],
    mpp: float,
    choices: Choices,
    provenance: dict[str, Any],
    *,
    parent: Path | None = None,
) -> CheckpointDescription:
    """Describe a new detector, and write its checkpoint.

    Parameters
    ----------
    folder, model, processor
        As `write_checkpoint`.
    about : tuple
        Its family, codec, categories, and the image tokens of a window.
    mpp : float
    choices : Choices
    provenance : dict
    parent : Path, optional
        As `write_checkpoint`.
    """
    family, codec, categories, image_tokens = about
    description = CheckpointDescription(
        name=choices.get("name") or folder.name,
        family=family,
        codec=codec,
        mpp=mpp,
        halo_um=halo_of(choices.get("halo_um"), codec.window_px * mpp),
        image_tokens=image_tokens,
        max_points=choices.get("max_points") or default_max_points(codec.window_px, mpp),
        prompt=choices.get("instruction", NUCLEUS_INSTRUCTION),
        categories=categories,
        parameters=count_parameters(model),
        provenance=provenance,
    )
    return write_checkpoint(folder, model, processor, description, parent=parent)


def add_tokens(
    tokenizer: Any, bins: int, window_px: int, latents: int, categories: tuple[Category, ...]
) -> Codec:
    """Add the codec's tokens and say where they went.

    They are not special tokens: decoders would drop those from the text.
    """
    texts = [coordinate_token(i) for i in range(bins)]
    texts += [latent_token(i) for i in range(latents)]
    texts += [category_token(i) for i in range(len(categories))]
    known = set(texts) & set(tokenizer.get_vocab())
    if known:
        raise CheckpointError(
            f"The tokenizer has {len(known)} NuNext tokens already. Start from the base model."
        )
    start = len(tokenizer)
    tokenizer.add_tokens(texts, special_tokens=False)
    ids = tokenizer.convert_tokens_to_ids(texts)
    if ids != list(range(start, start + len(texts))):
        raise CheckpointError(
            "The tokenizer did not give consecutive ids to the new tokens. Update tokenizers."
        )
    codec = Codec(
        bins=bins,
        window_px=window_px,
        coordinate_start_id=start,
        separator_id=tokenizer.convert_tokens_to_ids(SEPARATOR_TEXT),
        end_id=tokenizer.eos_token_id,
        latent_ids=tuple(ids[bins : bins + latents]),
        category_ids=tuple(ids[bins + latents :]),
        category_names=tuple(c.name for c in categories),
    )
    pair = coordinate_token(0) + SEPARATOR_TEXT + coordinate_token(1)
    if tokenizer.encode(pair, add_special_tokens=False) != [start, codec.separator_id, start + 1]:
        raise CheckpointError(
            "The tokenizer splits or joins coordinate tokens; expected one id each. "
            "This base model cannot be used."
        )
    return codec


@torch.no_grad()
def grow_embeddings(
    model: PreTrainedModel,
    old_tokens: int,
    tokens: int,
    seed: int,
    like: Sequence[int] = (),
    *,
    deviations: float = 0.1,
) -> None:
    """Give the tokens from `old_tokens` up to `tokens` embeddings of their own.

    They are the mean of the old ones, or of those `like` which they are to be, plus noise of
    `deviations` of the old ones' standard deviation, so that no new token is likelier than another
    at first and none equals another. Tied embeddings stay tied; an output layer of its own gets new
    rows the same way. Rows that the model has to spare are used first, and no row is taken away.
    """
    rows = padded(max(embedding_rows(model), tokens))
    model.resize_token_embeddings(rows, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    layers: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in {id(layer.weight): layer.weight for layer in layers}.values():
        old = weight[:old_tokens].float()
        middle = (weight[list(like)].float() if like else old).mean(0)
        noise = torch.randn((tokens - old_tokens, weight.shape[1]), generator=generator)
        weight[old_tokens:tokens] = (middle + deviations * old.std(0) * noise).to(weight.dtype)


def write_checkpoint(
    folder: Path,
    model: PreTrainedModel,
    processor: Any,
    description: CheckpointDescription,
    *,
    parent: Path | None,
) -> CheckpointDescription:
    """Write a checkpoint whose generation ends where the codec says; `parent` is what it was."""
    pin_window(processor, description.window_px)
    model.generation_config.eos_token_id = [description.codec.end_id]
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    save_checkpoint(folder, model, processor, description, parent=parent)
    return description


def as_categories(categories: Sequence[str | Category]) -> tuple[Category, ...]:
    """Categories, those given by name alone in default colours."""
    names = [c if isinstance(c, str) else c.name for c in categories]
    if len(set(names)) != len(names):
        raise CheckpointError(f"The categories {names} repeat a name; expected each once.")
    colored = default_categories(names)
    return tuple(
        given if isinstance(given, Category) else made
        for given, made in zip(categories, colored, strict=True)
    )


def halo_of(halo_um: float | None, window_um: float) -> float:
    """`halo_um`, or an eighth of the window, at most `LARGEST_HALO_UM`."""
    return min(LARGEST_HALO_UM, window_um / 8) if halo_um is None else halo_um


def padded(rows: int) -> int:
    """`rows`, rounded up to `ROW_MULTIPLE`."""
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE


def count_parameters(model: PreTrainedModel) -> int:
    """Number of weights; tied ones once."""
    return sum(p.numel() for p in model.parameters())
