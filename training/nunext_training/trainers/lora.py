"""Low-rank adaptation: train small additions to frozen weights, and merge them at the end.

Adapted are the linear layers of the language model; the embeddings of NuNext's own tokens are
trained beside them, since a pretrained model has never seen these. Everything else, the vision
tower too, stays as it is. While a run lasts its states hold the additions alone; the checkpoint
that is published is merged, an ordinary one for every reader.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from napari_nunext.models.checkpoints.integrity import token_ids
from napari_nunext.models.checkpoints.loading import without_renaming_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.recipes.sections import LoraOptions

ADAPTER_FILE = "adapter_config.json"
"""Marks a folder that holds additions rather than whole weights."""

_LINEAR_LAYERS = r"\.\d+\.(self_attn|mlp)\.\w+_proj"
_KEPT_INSIDE = (".base_layer.", ".original_module.")


def add_lora(parent: LoadedCheckpoint, options: LoraOptions) -> Any:
    """The checkpoint's model with additions to train and everything else frozen.

    Returns
    -------
    PeftModel
        Around the very model of `parent`.
    """
    codec = parent.description.codec
    new_ids = set(token_ids(codec).values()) - {codec.separator_id}
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # type: ignore[arg-type]  # any number will do
        lora_dropout=options.dropout,
        target_modules=re.escape(parent.family.layers_path) + _LINEAR_LAYERS,
        trainable_token_indices={"embed_tokens": sorted(new_ids)},
    )
    with without_renaming_warnings():
        return get_peft_model(parent.model, config)


def merge_saved(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """`model`, the parent's, with the additions that a run left in `folder` merged into it."""
    with without_renaming_warnings():
        adapted: Any = PeftModel.from_pretrained(model, str(folder))
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


@contextmanager
def merged(model: Any) -> Iterator[None]:
    """Merge the additions of `model`, where it has any, for as long as the block lasts.

    Decoding reads rows of the output layer directly, so it must find them there. Taking additions
    out again would leave rounding behind: the frozen weights are put back as they were.
    """
    if not isinstance(model, PeftModel):
        yield
        return
    kept = {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if any(part in name for part in _KEPT_INSIDE)
    }
    wrapper: Any = model
    wrapper.merge_adapter()
    try:
        yield
    finally:
        wrapper.unmerge_adapter()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in kept:
                    parameter.copy_(kept[name])
