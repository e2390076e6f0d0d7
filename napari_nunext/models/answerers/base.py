"""A small detector as the base of an answerer: its weights, and tokens for words.

    nunext-train ask base --checkpoint nunext-small --out ask-base

What a detector knows stays as it is: rows of its tokens and all other weights are unchanged, so
that additions (LoRA) may stand on it. The folder is one that `load_answerer` reads, and every
command of training an answerer takes (ours; no paper trains a model of this size).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken

from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.answerers.about import ABOUT_FILE
from napari_nunext.models.answerers.base_words import answer_words, size_of
from napari_nunext.models.answerers.loaded import save_answerer
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint, new_folder
from napari_nunext.models.checkpoints.new_tokens import count_parameters, grow_embeddings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_nunext.core.codec import Codec


def build_answer_base(
    checkpoint: Path, folder: Path, *, words: Iterable[str] = (), seed: int = 0
) -> int:
    """Write the base of an answerer.

    Parameters
    ----------
    checkpoint : Path
        A detector's; stays as it is.
    folder : Path
        Where to; must not exist or be empty.
    words : iterable of str
        Further words that are to be one token; see `answer_words`.
    seed : int
        Of the rows of new tokens.

    Returns
    -------
    int
        How many tokens are new.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded.
    InputError
        If `folder` exists and is not empty.
    """
    parent = load_checkpoint(checkpoint, device="cpu", dtype=torch.float32)
    model, processor = parent.model, parent.windows.processor
    tokenizer, codec = processor.tokenizer, parent.description.codec
    old_tokens = len(tokenizer)
    known = tokenizer.get_vocab()
    new = [w for w in answer_words(codec.category_names, words) if w not in known]
    # Words as they are written, whatever stands before or behind them, and not special: special
    # tokens are left out of what is read. The longest that fits is taken.
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in new])
    if tokenizer.convert_tokens_to_ids(new) != list(range(old_tokens, old_tokens + len(new))):
        raise CheckpointError(
            "The tokenizer did not give consecutive ids to the new words. Update tokenizers."
        )
    grow_embeddings(model, old_tokens, len(tokenizer), seed, deviations=1.0)
    _start_alike(model, {old_tokens + i: word for i, word in enumerate(new)}, codec)
    images: Any = processor.image_processor
    token_area = (images.patch_size * images.merge_size) ** 2
    images.size = {"shortest_edge": token_area, "longest_edge": MOST_TOKENS * token_area}
    about = {
        "name": folder.name,
        "metrics": [],
        "new_tokens": [old_tokens, len(tokenizer)],
        "parameters": count_parameters(model),
        "provenance": {
            "recipe": "ask base",
            "base": parent.description.name,
            "parent_sha256": checkpoint_sha256(checkpoint),
            "seed": seed,
        },
    }
    with new_folder(folder, parent=checkpoint) as part:
        save_answerer(part, model, processor)
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (part / ABOUT_FILE).write_text(f"{text}\n", encoding="utf-8")
    return len(new)


@torch.no_grad()
def _start_alike(model: Any, words: dict[int, str], codec: Codec) -> None:
    """Let the rows of words begin as those of tokens that mean the same.

    The number of a pixel begins halfway between its own row and the coordinate's, so that it is not
    taken for it; a category's name begins as its token.
    """
    named = {
        f" {name}": i for name, i in zip(codec.category_names, codec.category_ids, strict=True)
    }
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in {id(layer.weight): layer.weight for layer in layers}.values():
        for row, word in words.items():
            size, name = size_of(word), f" {word.strip(' ;')}"
            if size is not None and size < codec.window_px:
                coordinate = codec.coordinate_start_id + size * codec.bins // codec.window_px
                weight[row] = 0.5 * (weight[row] + weight[coordinate])
            elif name in named:
                weight[row] = 0.5 * weight[row] + weight[named[name]]
