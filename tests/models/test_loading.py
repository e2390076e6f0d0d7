from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.loading import (
    load_checkpoint,
    new_folder,
    save_checkpoint,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "copied")


def test_saving_what_was_loaded_gives_the_same_weights_and_tokens(
    built: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(built, device="cpu")
    save_checkpoint(tmp_path / "again", loaded.model, loaded.windows.processor, loaded.description)
    again = load_checkpoint(tmp_path / "again", device="cpu")
    assert again.description == loaded.description
    assert again.windows.prompt_ids == loaded.windows.prompt_ids
    state = loaded.model.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.model.state_dict().items())


def rewrite(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def a_name(tensors: dict[str, torch.Tensor]) -> str:
    return next(k for k in sorted(tensors) if k.endswith("q_proj.weight"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(a_name(t)), "1 missing keys"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 unexpected keys"),
        (lambda t: t.update({a_name(t): torch.zeros(2, 2)}), "do not fit|cannot be loaded"),
    ],
)
def test_weights_that_do_not_fit_are_refused_rather_than_made_up(
    copied: Path, change: Any, message: str
) -> None:
    rewrite(copied, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(copied, device="cpu")


def test_a_truncated_weight_file_is_refused(copied: Path) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_checkpoint(copied, device="cpu")


def test_a_description_of_another_family_than_the_weights_is_refused(copied: Path) -> None:
    path = copied / "nunext.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"family": "qwen3_vl"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="says family qwen3_vl, but its config"):
        load_checkpoint(copied, device="cpu")


def test_a_wrong_count_of_image_tokens_is_refused(copied: Path) -> None:
    path = copied / "nunext.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"image_tokens": 4}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="costs 16 image tokens; the checkpoint declares 4"):
        load_checkpoint(copied, device="cpu")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with new_folder(tmp_path / "a") as part:
            (part / "half").write_text("half", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "b" / "c") as part:
        (part / "whole").write_text("whole", encoding="utf-8")
        assert not (tmp_path / "b" / "c").exists()
    assert [p.name for p in (tmp_path / "b" / "c").iterdir()] == ["whole"]
    with pytest.raises(InputError, match="exists already"), new_folder(tmp_path / "b"):
        pass


def test_loading_shows_no_bars_and_leaves_the_callers_setting(built: Path, capfd: Any) -> None:
    transformers_logging.enable_progress_bar()
    load_checkpoint(built, device="cpu")
    assert transformers_logging.is_progress_bar_enabled()
    assert capfd.readouterr().err == ""


def test_a_checkpoint_loads_in_the_precision_asked_for(built: Path) -> None:
    loaded = load_checkpoint(built, device="cpu", dtype=torch.bfloat16)
    assert loaded.model.dtype == torch.bfloat16
    assert read_description(built) == loaded.description
