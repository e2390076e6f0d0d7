"""Whether a parent knows new tissue better in the colours of H&E than as it is (ours)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from nunext_training.data.windows import RandomWindows, WindowSpec
from nunext_training.method.losses import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.batches import Collator
    from nunext_training.data.painted.recoloured import ColoursOfHAndE
    from nunext_training.data.windows import Example
    from nunext_training.recipes.sections import WindowOptions

WINDOWS = 64
"""That the parent reads both ways."""
_AT_ONCE = 16
BETTER = 0.1
"""Nats a token by which the nuclei that people marked must be likelier to it."""


def surprise(parent: LoadedCheckpoint, encode: Collator, examples: Sequence[Example]) -> float:
    """Nats a token that it is surprised by where the nuclei of windows are; what they are is left.

    Parameters
    ----------
    parent : LoadedCheckpoint
    encode : Collator
    examples : sequence of Example
    """
    nats, tokens = 0.0, 0
    for start in range(0, len(examples), _AT_ONCE):
        batch = encode([_points_alone(e) for e in examples[start : start + _AT_ONCE]])
        batch = {name: tensor.to(parent.device) for name, tensor in batch.items()}
        labels = batch.pop("labels")
        kept = int((labels != IGNORED).any(dim=0).sum()) + 1
        with torch.no_grad():
            logits = parent.model(**batch, logits_to_keep=kept, use_cache=False).logits[:, :-1]
        labels = labels[:, 1 - kept :]
        nats += float(
            functional.cross_entropy(
                logits.flatten(0, 1).float(),
                labels.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
        )
        tokens += int((labels != IGNORED).sum())
    return nats / tokens


def is_known_better(
    parent: LoadedCheckpoint,
    encode: Collator,
    colours: ColoursOfHAndE,
    options: WindowOptions,
    *,
    seed: int,
) -> bool:
    """Whether what people marked is likelier to the parent in the colours of H&E."""
    if not colours.images:
        return False
    codec = parent.description.codec
    windows = RandomWindows(
        colours.images,
        WindowSpec(codec.window_px, parent.description.mpp, codec.category_names),
        replace(options, stain_strength=0.0, scanner_strength=0.0),
        length=WINDOWS,
        seed=seed,
        colours=colours,
    )
    as_is = [windows[i] for i in range(WINDOWS)]
    known = [replace(e, rgb=e.known_rgb) for e in as_is if e.known_rgb is not None]
    return surprise(parent, encode, known) < surprise(parent, encode, as_is) - BETTER


def _points_alone(example: Example) -> Example:
    indices = example.category_indices
    unknown = None if indices is None else (UNKNOWN_CATEGORY,) * len(indices)
    return replace(example, category_indices=unknown, known_rgb=None)
