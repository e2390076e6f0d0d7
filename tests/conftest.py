"""What every test shares: the data folder, a seeded generator, and none of the user's settings."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

REPO_ROOT = Path(__file__).resolve().parents[1]

# Before anything reads them: no test sees the user's settings, projects or models, or the network.
_home = tempfile.TemporaryDirectory(prefix="napari-nunext-tests-", ignore_cleanup_errors=True)
os.environ["NAPARI_CONFIG"] = str(Path(_home.name, "napari", "settings.yaml"))
for _kind in ("CONFIG", "DATA", "STATE"):
    os.environ[f"XDG_{_kind}_HOME"] = str(Path(_home.name, _kind.lower()))
os.environ["HF_HUB_OFFLINE"] = "1"

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
