"""A pretrained trunk in the place of the first convolutions of a detector that has learned.

A detector learns to write coordinates slowly, and longest where its tower knows nothing yet. What
reads the tower's tokens can stay: the trunk's taps are fitted, by least squares, to the tokens that
the old convolutions made of the same windows, and training goes on from there. **Ours**.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.new_tokens import count_parameters, write_checkpoint
from napari_nunext.models.checkpoints.pretrained_trunk import load_pretrained
from napari_nunext.models.families import submodule
from napari_nunext.models.families.trunk import on_grid_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.families.trunk import EfficientTrunk

_RIDGE = 1e-4
"""Of the mean square of a feature: many of them go together."""


def graft_trunk(
    checkpoint: Path,
    folder: Path,
    windows: Iterable[NDArray[np.uint8]],
    *,
    name: str | None = None,
) -> CheckpointDescription:
    """Put EfficientNet-Lite0 in the place of a detector's first convolutions.

    Parameters
    ----------
    checkpoint : Path
        Of the family ``"conv_qwen"``, without a trunk.
    folder : Path
        Where to; must not exist or be empty.
    windows : iterable of ndarray of uint8, each of shape (B, window_px, window_px, 3)
        RGB as the detector sees it; some thousand windows in all.
    name : str, optional
        For people; the folder's name when None.

    Raises
    ------
    CheckpointError
        If the checkpoint is of another family, has a trunk or is quantised, or the weights of
        EfficientNet-Lite0 are not installed.
    InputError
        If `folder` exists and is not empty.
    """
    parent = load_checkpoint(checkpoint, device="cpu", dtype=torch.float32)
    tower: Any = submodule(parent.model, parent.family.vision_path)
    config = parent.model.config.vision_config
    if getattr(config, "trunk", None) is not False:
        has = "a trunk already" if getattr(config, "trunk", False) else "a tower of its own"
        raise CheckpointError(
            f"{parent.description.name} has {has}; expected a detector of the family conv_qwen "
            "with plain convolutions, such as nunext-small."
        )
    images = parent.windows.processor.image_processor
    about = {"image_mean": images.image_mean, "image_std": images.image_std}
    config.trunk = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        grafted = type(tower)(config)
    source = load_pretrained(grafted.stem, **about)
    like = _fit_taps(grafted.stem, tower.stem, _pixels(windows, **about))
    tower.stem, tower.config = grafted.stem, config
    description = replace(
        parent.description,
        name=name or folder.name,
        parameters=count_parameters(parent.model),
        metrics=(),
        calibration=None,
        position_calibration=None,
        provenance=parent.description.provenance
        | {
            "recipe": "graft",
            "parent_sha256": checkpoint_sha256(checkpoint),
            "trunk": source | {"like_the_old_tokens": like},
        },
    )
    model, processor = parent.model, parent.windows.processor
    return write_checkpoint(folder, model, processor, description, parent=checkpoint)


def _pixels(
    windows: Iterable[NDArray[np.uint8]], image_mean: list[float], image_std: list[float]
) -> Iterable[Tensor]:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (image_mean, image_std))
    for batch in windows:
        pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        yield ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _fit_taps(trunk: EfficientTrunk, stem: torch.nn.Module, pixels: Iterable[Tensor]) -> float:
    """Have the taps make what `stem` makes; returns the share of its variance that they do."""
    squares: Any = 0
    products: Any = 0
    total: Any = 0
    taps: Any = trunk.taps
    count, total_square = 0, 0.0
    for batch in pixels:
        parts = zip(taps, trunk.seen(batch), strict=True)
        seen = [tap.norm(part) for tap, part in parts]
        finest = seen[0]
        ones = torch.ones_like(finest[..., :1])
        features = torch.cat([finest, *(on_grid_of(finest, s) for s in seen[1:]), ones], dim=-1)
        features = features.flatten(0, 2).double()
        tokens = stem(batch).permute(0, 2, 3, 1).flatten(0, 2).double()
        squares = squares + features.T @ features
        products = products + features.T @ tokens
        count, total = count + len(tokens), total + tokens.sum(0)
        total_square += float(tokens.square().sum())
    if not count:
        raise CheckpointError("There are no windows to fit the trunk's taps to.")
    ridge = _RIDGE * squares.diagonal().mean() * torch.eye(len(squares), dtype=torch.float64)
    weights = torch.linalg.solve(squares + ridge, products)
    start = 0
    for number, tap in enumerate(taps):
        linear = tap.linear
        linear.weight.copy_(weights[start : start + linear.in_features].T)
        linear.bias.copy_(weights[-1] if number == 0 else torch.zeros_like(linear.bias))
        start += linear.in_features
    # Of |y - Xw|^2, without y itself.
    left = total_square - float(
        (2 * weights * products).sum() - (weights * (squares @ weights)).sum()
    )
    mean_square: Any = total
    return 1 - left / (total_square - float(mean_square.square().sum()) / count)
