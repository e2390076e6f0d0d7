"""What every test shares: the data folder, a seeded generator, and none of the user's settings."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

from napari_nunext.places import answerers_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["tests.garbage", "tests.packages", "tests.workers"]

REPO_ROOT = Path(__file__).resolve().parents[1]

# Before anything reads them: no test sees the user's settings, projects or models, or the network.
_home = tempfile.TemporaryDirectory(prefix="napari-nunext-tests-", ignore_cleanup_errors=True)
os.environ["NAPARI_CONFIG"] = str(Path(_home.name, "napari", "settings.yaml"))
for _kind in ("CONFIG", "DATA", "STATE"):
    os.environ[f"XDG_{_kind}_HOME"] = str(Path(_home.name, _kind.lower()))
os.environ["HF_HUB_OFFLINE"] = "1"

# A shell that starts us in the background has Ctrl+C ignored, and every process of a test with us.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Deadlines would measure the machine's other work.
settings.register_profile("nunext", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("nunext")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens windows, and skip what this machine cannot run, saying why."""
    for item in items:
        if item.path.is_relative_to(REPO_ROOT / "tests" / "ui"):
            item.add_marker(pytest.mark.ui)
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        _skip(items, "ui", "there is no display; `make test` brings a virtual one")
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            _skip(items, "gpu", "torch sees no GPU")


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """What a test keeps for a user's next time is not there for the next test."""
    yield
    answerers_file().unlink(missing_ok=True)


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout that the tests belong to."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of openly licensed test images; a test that asks for it is skipped without one.

    ``NAPARI_NUNEXT_DATA`` names it; by default it is ``../shared/data`` beside the checkout.
    """
    root = Path(os.environ.get("NAPARI_NUNEXT_DATA") or REPO_ROOT.parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"there is no data folder at {root}; set NAPARI_NUNEXT_DATA to one")
    return root


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives every test the same numbers in every run."""
    return np.random.default_rng(20_240_607)


@pytest.fixture(scope="session")
def original_sam_name() -> Callable[[str], str]:
    """Name of a weight in segment-anything, from its name in transformers."""
    return _original_name


@pytest.fixture(scope="session")
def original_sam_state() -> Callable[[Path], dict[str, Any]]:
    """The checkpoint of a SAM as segment-anything would save it: a state dictionary."""
    return _original_state


def _original_name(name: str) -> str:
    module, _, rest = name.partition(".")
    if module == "vision_encoder":
        rest = rest.replace("layers.", "blocks.").replace("layer_norm", "norm", 1)
        rest = rest.replace("patch_embed.projection", "patch_embed.proj")
        for index, part in enumerate(("conv1", "norm1", "conv2", "norm2")):
            rest = re.sub(rf"^neck\.{part}\.", f"neck.{index}.", rest)
        return f"image_encoder.{rest}"
    if module == "prompt_encoder":
        parts = {0: "conv1", 1: "layer_norm1", 3: "conv2", 4: "layer_norm2", 6: "conv3"}
        for index, part in parts.items():
            rest = rest.replace(f"mask_embed.{part}.", f"mask_downscaling.{index}.")
        rest = re.sub(r"^point_embed\.", "point_embeddings.", rest)
        rest = rest.replace(
            "shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"
        )
        return f"prompt_encoder.{rest}"
    if rest.startswith("transformer."):
        rest = rest.replace("layer_norm", "norm")
    for index, part in ((0, "upscale_conv1"), (1, "upscale_layer_norm"), (3, "upscale_conv2")):
        rest = rest.replace(f"{part}.", f"output_upscaling.{index}.")
    if rest.startswith(("iou_prediction_head", "output_hypernetworks_mlps")):
        rest = rest.replace(".layers.0.", ".layers.1.")
        rest = rest.replace(".proj_in.", ".layers.0.").replace(".proj_out.", ".layers.2.")
    return f"mask_decoder.{rest}"


def _original_state(folder: Path) -> dict[str, Any]:
    import torch
    from transformers import SamModel

    model: Any = SamModel.from_pretrained(folder, local_files_only=True)
    state = {
        _original_name(k): v.clone()
        for k, v in model.state_dict().items()
        if not k.startswith("shared_image_embedding")
    }
    return state | {"pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
