"""Checkpoints built once for all tests of models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from tests.sizes import SMALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

torch.set_num_threads(1)  # these models are too small to share out

WINDOW_PX = 32
SIZE = replace(SMALL, vision_layers=2)

CONV_SIZE = replace(SIZE, patch_px=8, merge=1)

VARIANTS = {
    "plain": {},
    "latents": {"latents": 3},
    "categories": {"categories": ["Lymphocyte", "Tumour"]},
    "both": {"latents": 2, "categories": ["Lymphocyte", "Tumour", "Stroma"]},
}

PAIRS = [
    *(("conv_qwen", variant) for variant in VARIANTS),
    *(("qwen2_5_vl", variant) for variant in ("plain", "both")),
    *(("qwen3_vl", variant) for variant in ("latents", "categories")),
]
"""Each family with and without latent tokens, and with and without categories; ours with each."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2.5-VL checkpoint without categories. Do not write to it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "plain"
    build_checkpoint(folder, size=SIZE, window_px=WINDOW_PX)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedCheckpoint]:
    """``checkpoints(family, variant)``: each is built when it is first asked for, and kept."""

    @cache
    def build(family: str, variant: str) -> LoadedCheckpoint:
        folder = tmp_path_factory.mktemp(family) / variant
        build_checkpoint(
            folder,
            family=family,
            size=CONV_SIZE if family == "conv_qwen" else SIZE,
            window_px=WINDOW_PX,
            max_points=12,
            **VARIANTS[variant],
        )
        return _spread(load_checkpoint(folder, device="cpu"))

    return build


@pytest.fixture(
    scope="session",
    params=PAIRS,
    ids=lambda p: "-".join(p),
)
def checkpoint(
    request: pytest.FixtureRequest, checkpoints: Callable[..., LoadedCheckpoint]
) -> LoadedCheckpoint:
    """A loaded checkpoint of each of `PAIRS`, random but not indifferent to its image."""
    return checkpoints(*request.param)


def _spread(checkpoint: LoadedCheckpoint) -> LoadedCheckpoint:
    """Widen the weights, so that windows get different replies, some of which end by themselves."""
    # A seed and a length that make the replies of every variant differ and some of them long.
    seed, end = (1, 1.25) if checkpoint.family.name == "conv_qwen" else (7, 2.5)
    generator = torch.Generator().manual_seed(seed)
    codec = checkpoint.description.codec
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.12)
        embeddings = checkpoint.model.get_input_embeddings().weight
        embeddings[codec.end_id] *= end
    # In double precision no two tokens are so close that the order of a sum decides between them,
    # as it does in single precision with the batch and from one processor to the next.
    checkpoint.model.double()
    return checkpoint


@pytest.fixture
def windows(rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Six windows that differ in more than noise."""
    return [
        (rng.integers(0, 256, (1, 1, 3)) * 0.7 + rng.integers(0, 77, (WINDOW_PX, WINDOW_PX, 3)))
        .clip(0, 255)
        .astype(np.uint8)
        for _ in range(6)
    ]
