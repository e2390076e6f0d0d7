from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models import catalog as catalog_module
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.detector import WindowEnd
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.build import build_sam
from napari_nunext.models.sam.segmenter import SamSegmenter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def models(built: Path, tmp_path: Path) -> Path:
    """A folder with a detector, a segmenter and a broken checkpoint."""
    folder = tmp_path / "models"
    shutil.copytree(built, folder / "detector")
    build_sam(folder / "segmenter", window_px=64)
    broken = shutil.copytree(built, folder / "broken")
    (broken / "model.safetensors").unlink()
    (folder / "notes").mkdir()
    shutil.copytree(built, folder / ".half-written")
    return folder


def catalog(*paths: Path, **options: Any) -> Catalog:
    options.setdefault("bundled", paths[0].parent / "no-such-folder")
    return Catalog(paths, device="cpu", **options)


def test_the_classical_models_are_always_there(tmp_path: Path) -> None:
    empty = catalog(tmp_path)
    assert [(e.id, e.kind, e.problem) for e in empty.entries()] == [
        ("classical", "detector", None),
        ("classical", "segmenter", None),
    ]
    assert empty.default_detector_id == empty.default_segmenter_id == "classical"
    detector = empty.load_detector()
    window = np.full((detector.info.window_px,) * 2 + (3,), 255, np.uint8)
    assert list(detector.detect([window], cancelled=lambda: False))[-1] == WindowEnd(0, "end")
    assert empty.load_segmenter().info.family == "classical"
    assert empty.loaded == ()


def test_checkpoints_are_found_and_a_broken_one_is_listed_with_its_problem(models: Path) -> None:
    found = {e.id: e for e in catalog(models).entries() if e.folder is not None}
    assert list(found) == ["broken", "detector", "segmenter"]
    assert found["broken"].info is None
    assert "no model.safetensors" in (found["broken"].problem or "")
    assert (found["detector"].kind, found["segmenter"].kind) == ("detector", "segmenter")
    info = found["detector"].info
    assert info is not None
    assert info.checkpoint_sha256 == checkpoint_sha256(models / "detector")


def test_a_path_may_be_a_checkpoint_itself_and_the_same_one_counts_once(models: Path) -> None:
    found = catalog(models / "detector", models).entries()
    assert [e.id for e in found[2:]] == ["detector", "broken", "segmenter"]


def test_ids_of_equal_names_are_told_apart(models: Path, built: Path) -> None:
    shutil.copytree(built, models / "classical")
    other = shutil.copytree(built, models.parent / "more" / "detector").parent
    ids = [e.id for e in catalog(models, other).entries()]
    assert ids[2:] == ["broken", "classical-2", "detector", "segmenter", "detector-2"]


def test_models_that_were_added_or_mended_are_seen_at_the_next_look(
    models: Path, built: Path
) -> None:
    watched = catalog(models)
    watched.entries()
    shutil.copy(built / "model.safetensors", models / "broken")
    shutil.copytree(built, models / "added")
    problems = {e.id: e.problem for e in watched.entries()}
    assert problems["broken"] is None
    assert "added" in problems


def test_looking_again_does_not_read_unchanged_checkpoints(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = catalog(models)
    first = watched.entries()

    def fail(folder: Path) -> None:
        raise AssertionError(folder)

    monkeypatch.setattr(catalog_module, "describe", fail)
    assert watched.entries() == first


def test_the_bundled_checkpoint_is_the_default(models: Path, built: Path) -> None:
    weights = models.parent / "weights"
    assert catalog(models, bundled=weights).default_detector_id == "classical"
    shutil.copytree(built, weights / "nunext")
    assert catalog(models, bundled=weights).default_detector_id == "nunext"
    (weights / "nunext" / "model.safetensors").unlink()
    assert catalog(models, bundled=weights).default_detector_id == "classical"


def test_a_segmenter_with_a_checkpoint_is_the_default(models: Path) -> None:
    assert catalog(models).default_segmenter_id == "segmenter"


def test_models_are_loaded_once_and_again_when_their_files_change(models: Path) -> None:
    watched = catalog(models)
    detector = watched.load_detector("detector")
    assert isinstance(detector, NextPointDetector)
    assert isinstance(watched.load_segmenter("segmenter"), SamSegmenter)
    assert watched.load_detector("detector") is detector
    assert set(watched.loaded) == {"detector", "segmenter"}
    path = models / "detector" / "nunext.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"name": "retrained"}), encoding="utf-8")
    again = watched.load_detector("detector")
    assert again is not detector
    assert again.info.name == "retrained"


def test_the_model_used_longest_ago_makes_room(models: Path, built: Path) -> None:
    for name in ("second", "third"):
        shutil.copytree(built, models / name)
    watched = catalog(models)
    for name in ("detector", "second", "detector", "third"):
        watched.load_detector(name)
    assert watched.loaded == ("detector", "third")


def test_a_broken_or_unknown_model_is_refused_with_the_reason(models: Path) -> None:
    watched = catalog(models)
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        watched.load_detector("broken")
    with pytest.raises(InputError, match="no detector 'nothing'; this server has classical,"):
        watched.load_detector("nothing")
    with pytest.raises(InputError, match="no segmenter 'detector'"):
        watched.load_segmenter("detector")


def test_a_checkpoint_of_an_unknown_family_is_listed_with_what_is_known(models: Path) -> None:
    path = models / "detector" / "nunext.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"family": "novel"}), encoding="utf-8")
    problem = {e.id: e.problem for e in catalog(models).entries()}["detector"]
    assert "'novel' is not known; this version serves conv_qwen, qwen2_5_vl" in (problem or "")


def test_a_path_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert len(catalog(tmp_path / "later").entries()) == 2
