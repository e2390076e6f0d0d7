"""Folders of detectors of earlier versions load, and find what they found.

Their weights are those of the detector that was bundled before it had a pretrained trunk.
"""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.synthetic import synthesise

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["checkpoint-first", "checkpoint-before-card"]
FOUND_XY = [[1.5, 19.5], [38.5, 34.5]]
"""What it found while it was bundled; a bin is 1 px, and another processor may shift one."""


@pytest.fixture
def earlier(request: pytest.FixtureRequest, repo_root: Path, tmp_path: Path) -> Path:
    """What a version wrote, and its weights."""
    folder = tmp_path / "nunext-small"
    kept = repo_root / "tests" / "fixtures" / "upgrades"
    with zipfile.ZipFile(kept / f"{request.param}.zip") as packed:
        packed.extractall(folder)
    shutil.copyfile(kept / "nunext-small.safetensors", folder / "model.safetensors")
    return folder


def found(folder: Path) -> list[np.ndarray]:
    detector = NextPointDetector(folder, dtype=torch.float32)
    rgb = synthesise(np.random.default_rng(4), height_px=64, width_px=64, mpp=0.5).rgb
    events = detector.detect([rgb], cancelled=lambda: False)
    return [event.points_xy for event in events if isinstance(event, WindowPoints)]


@pytest.mark.parametrize("earlier", NAMES, indirect=True)
def test_a_folder_of_before_loads_and_points_as_it_did(earlier: Path) -> None:
    np.testing.assert_allclose(np.concatenate(found(earlier)), FOUND_XY, atol=1)
    info = NextPointDetector(earlier).info
    assert info.metrics
    assert info.mpp == 0.5
