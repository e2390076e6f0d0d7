"""Checkpoints from other models: NuNext's tokens for a pretrained Qwen-VL, new categories for one.

What is read stays as it is; the result is a folder of its own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import torch
from transformers import AutoModelForImageTextToText

from napari_nunext.core.codec import category_token
from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.integrity import (
    FILE_NAME,
    check_weight_files,
    checkpoint_sha256,
)
from napari_nunext.models.checkpoints.loading import load_checkpoint, load_weights
from napari_nunext.models.checkpoints.new_tokens import (
    Choices,
    add_tokens,
    as_categories,
    count_parameters,
    grow_embeddings,
    write_checkpoint,
    write_new,
)
from napari_nunext.models.families import check_window, get_family

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from napari_nunext.models.checkpoints.description import CheckpointDescription


def extend_checkpoint(
    base_folder: Path,
    folder: Path,
    *,
    window_px: int,
    mpp: float,
    bins: int = 1000,
    latents: int = 0,
    categories: Sequence[str | Category] = (),
    seed: int = 0,
    **choices: Unpack[Choices],
) -> CheckpointDescription:
    """Give a pretrained Qwen-VL the tokens of NuNext; `base_folder` stays as it is.

    New embeddings are as `grow_embeddings` makes them. Parameters are those of
    `napari_nunext.models.checkpoints.build.build_checkpoint`.

    Raises
    ------
    CheckpointError
        If the base is incomplete, pickled, of an unknown family, or has NuNext tokens already.
    InputError
        If `folder` exists and is not empty.
    """
    if (base_folder / FILE_NAME).is_file():
        raise CheckpointError(
            f"{base_folder.name} is a NuNext checkpoint already. Train it as it is, or start from "
            "the base model."
        )
    check_weight_files(base_folder)
    config = json.loads((base_folder / "config.json").read_text(encoding="utf-8"))
    adapter = get_family(str(config.get("model_type")))
    processor = adapter.load_processor(base_folder)
    model = load_weights(
        AutoModelForImageTextToText, base_folder, device=torch.device("cpu"), dtype="auto"
    )
    image_tokens = check_window(window_px, adapter.token_px(model.config))
    tokenizer, kinds = processor.tokenizer, as_categories(categories)
    old_tokens = len(tokenizer)
    codec = add_tokens(tokenizer, bins, window_px, latents, kinds)
    grow_embeddings(model, old_tokens, len(tokenizer), seed)
    provenance = {
        "recipe": "extend",
        "base": base_folder.name,
        "parent_sha256": checkpoint_sha256(base_folder),
        "seed": seed,
    }
    about = adapter.name, codec, kinds, image_tokens
    return write_new(folder, model, processor, about, mpp, choices, provenance, parent=base_folder)


def add_categories(
    checkpoint: Path,
    folder: Path,
    categories: Sequence[str | Category],
    *,
    name: str | None = None,
    seed: int = 0,
) -> CheckpointDescription:
    """Let a NuNext checkpoint say more categories; what it knows it keeps.

    Points are written as before. A new category begins as the mean of those that are there, or,
    where a checkpoint had none, of the comma whose place it takes: training tells them apart.

    Parameters
    ----------
    checkpoint : Path
    folder : Path
        Where to; must not exist or be empty.
    categories : sequence of str or Category
        What to add; those that it knows already, whatever their case, are passed over.
    name : str, optional
        For people; the folder's name when None.
    seed : int

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded or is quantised, or it knows all of them.
    InputError
        If `folder` exists and is not empty.
    """
    parent = load_checkpoint(checkpoint, device="cpu", dtype=torch.float32)
    old = parent.description
    known = {category.name.casefold() for category in old.categories}
    new = [c for c in categories if _name(c).casefold() not in known]
    if not new:
        raise CheckpointError(
            f"{old.name} knows {', '.join(c.name for c in old.categories)} already. Train it as it "
            "is, or name other categories."
        )
    tokenizer = parent.windows.processor.tokenizer
    old_tokens, first = len(tokenizer), len(old.categories)
    texts = [category_token(first + i) for i in range(len(new))]
    tokenizer.add_tokens(texts, special_tokens=False)
    ids = tuple(tokenizer.convert_tokens_to_ids(texts))
    like = old.codec.category_ids or (old.codec.separator_id,)
    grow_embeddings(parent.model, old_tokens, len(tokenizer), seed, like)
    kinds = as_categories((*old.categories, *new))
    description = replace(
        old,
        name=name or folder.name,
        codec=replace(
            old.codec,
            category_ids=old.codec.category_ids + ids,
            category_names=tuple(c.name for c in kinds),
        ),
        categories=kinds,
        parameters=count_parameters(parent.model),
        metrics=(),
        provenance=old.provenance
        | {
            "recipe": "add categories",
            "parent_sha256": checkpoint_sha256(checkpoint),
            "added": [_name(c) for c in new],
        },
    )
    model, processor = parent.model, parent.windows.processor
    return write_checkpoint(folder, model, processor, description, parent=checkpoint)


def _name(category: str | Category) -> str:
    return category if isinstance(category, str) else category.name
