"""Folders of detectors of earlier versions load, and find what they found."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.models.auto import BUNDLED_DETECTOR
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.synthetic import synthesise

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["checkpoint-first", "checkpoint-before-card"]


@pytest.fixture
def earlier(request: pytest.FixtureRequest, repo_root: Path, tmp_path: Path) -> Path:
    """What a version wrote beside its weights, with weights of today, of the same shapes."""
    folder = tmp_path / "nunext-small"
    archive = repo_root / "tests" / "fixtures" / "upgrades" / f"{request.param}.zip"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    shutil.copyfile(BUNDLED_DETECTOR / "model.safetensors", folder / "model.safetensors")
    return folder


def found(folder: Path) -> list[np.ndarray]:
    detector = NextPointDetector(folder, dtype=torch.float32)
    rgb = synthesise(np.random.default_rng(4), height_px=64, width_px=64, mpp=0.5).rgb
    events = detector.detect([rgb], cancelled=lambda: False)
    return [event.points_xy for event in events if isinstance(event, WindowPoints)]


@pytest.mark.parametrize("earlier", NAMES, indirect=True)
def test_a_folder_of_before_loads_and_points_as_todays(earlier: Path) -> None:
    now = found(BUNDLED_DETECTOR)
    assert len(np.concatenate(now)) > 1
    np.testing.assert_array_equal(np.concatenate(found(earlier)), np.concatenate(now))
    info = NextPointDetector(earlier).info
    assert info.metrics
    assert info.mpp == 0.5
