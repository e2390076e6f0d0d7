"""Whatever is made of weights that others began takes their notice along: so their licence says."""

from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import napari_nunext
import nunext_training
from napari_nunext.models.answerers.base import build_answer_base
from napari_nunext.models.checkpoints.extend import add_categories
from napari_nunext.models.checkpoints.loading import NOTICE_FILE, load_checkpoint, save_checkpoint
from nunext_training.cli import main
from nunext_training.stages.sft import SftJob, run_sft

WRITERS = ("new_folder", "new_checkpoint_folder", "save_sam")
"""Of folders of weights, who are told what they are made of."""
NOTICE = "The vision tower began as somebody else's.\n"


@pytest.fixture
def begun(category_checkpoint, tmp_path):
    """A checkpoint that others began."""
    folder = shutil.copytree(category_checkpoint, tmp_path / "begun")
    (folder / NOTICE_FILE).write_text(NOTICE, encoding="utf-8")
    return folder


def notice_of(folder: Path) -> str:
    return (folder / NOTICE_FILE).read_text(encoding="utf-8")


def test_the_bundled_detector_has_one():
    assert "Apache" in notice_of(Path(napari_nunext.__file__).parent / "weights" / "nunext-small")


def test_a_published_trunk_brings_its_notice(category_checkpoint, begun, tmp_path):
    """As `build` and `extend --pretrained-trunk` say whose weights they took."""
    bundled = notice_of(Path(napari_nunext.__file__).parent / "weights" / "nunext-small")
    for parent, expected in (
        (category_checkpoint, bundled),
        (begun, NOTICE + "\n" + bundled),
    ):
        loaded = load_checkpoint(parent)
        grafted = replace(loaded.description, provenance={"trunk": {"package": "published"}})
        folder = tmp_path / f"{parent.name}-grafted"
        save_checkpoint(folder, loaded.model, loaded.windows.processor, grafted, parent=parent)
        assert notice_of(folder) == expected
        made = load_checkpoint(folder)
        again = tmp_path / f"{parent.name}-again"
        save_checkpoint(again, made.model, made.windows.processor, made.description, parent=folder)
        assert notice_of(again).count("Apache License\n") == expected.count("Apache License\n")


def test_a_checkpoint_without_a_notice_gets_none(category_checkpoint, tmp_path):
    add_categories(category_checkpoint, tmp_path / "more", ["Mitosis"])
    assert not (tmp_path / "more" / NOTICE_FILE).exists()


def test_what_is_extended_has_it(begun, tmp_path):
    add_categories(begun, tmp_path / "more", ["Mitosis"])
    assert notice_of(tmp_path / "more") == NOTICE


def test_what_is_saved_anew_has_it(begun, tmp_path):
    loaded = load_checkpoint(begun)
    made = loaded.model, loaded.windows.processor, loaded.description
    save_checkpoint(tmp_path / "again", *made, parent=begun)
    assert notice_of(tmp_path / "again") == NOTICE


def test_an_answerer_that_begins_as_a_detector_has_it(begun, tmp_path):
    build_answer_base(begun, tmp_path / "answerer")
    assert notice_of(tmp_path / "answerer") == NOTICE


@pytest.mark.parametrize("rank", [0, 2])
def test_what_is_trained_has_it_merged_or_not(begun, export, recipe, recorder, tmp_path, rank):
    recipe = replace(recipe, lora=replace(recipe.lora, rank=rank))
    run_sft(SftJob((export,), begun, tmp_path / "trained", recipe), recorder)
    assert notice_of(tmp_path / "trained") == NOTICE


@pytest.mark.parametrize("command", ["quantize", "release"])
def test_what_is_given_to_others_has_it(command, begun, export, tmp_path):
    given = ["--checkpoint", str(begun), "--data", str(export), "--out", str(tmp_path / "out")]
    assert main([command, *given]) == 0
    assert notice_of(tmp_path / "out") == NOTICE


def test_every_folder_of_weights_says_what_it_is_made_of():
    """Data sets and a SAM that is built or converted are made of no checkpoint of ours."""
    without = set[str]()
    for package in (napari_nunext, nunext_training):
        root = Path(package.__file__).parent
        for file in root.rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(call, ast.Call)
                    and getattr(call.func, "id", "") in WRITERS
                    and not any(keyword.arg == "parent" for keyword in call.keywords)
                ):
                    without.add(file.relative_to(root).as_posix())
    assert without == {
        "models/sam/build.py",
        "data/importers/writing.py",
        "data/importers/questions/writing.py",
    }
