"""Training files as other trainers read them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import datasets
import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.answers.points import points_text
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.formats.flavours import FLAVOURS
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.store import Project, events
from napari_nunext.store.exports.training import export_training
from tests.store.conftest import WHOLE, entry, predicted, run_info, ticking

if TYPE_CHECKING:
    from pathlib import Path

CROP = Box(10, 20, 70, 60)


@pytest.fixture
def export(path, tmp_path):
    """``export(flavour)``: of two patients, one kept aside, with corrected predictions."""
    tiles = {}
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        for seed in range(2):
            pixels = np.random.default_rng(seed).integers(0, 256, (80, 100, 3), dtype=np.uint8)
            sha = pixels_sha256(pixels)
            tiles[sha] = tile_of_rgb(pixels, f"{seed}.png")
            project.add_image(entry(sha, name=f"{seed}.png", patient=f"patient {seed}"))
            run = project.start_run(sha, run_info(WHOLE))
            wrong = predicted(50, 50)
            project.add_predictions(run, [predicted(20.5, 30.25), wrong])
            project.finish_run(run, "complete")
            project.append([events.use_run(sha, run, WHOLE)])
            project.append([events.delete(sha, wrong.uid), events.add(sha, 30, 46, "Nucleus")])
            project.append([events.complete_region(sha, CROP)])

        def write(flavour):
            out = tmp_path / "export"
            export_training(project, out, images=lambda e: tiles[e.sha256], flavour=flavour)
            return out

        yield write


def rows_of(path: Path):
    text = path.read_text("utf-8")
    return json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_form_has_the_three_files_of_each_split_with_images_that_open_anywhere(
    export, flavour, tmp_path, monkeypatch
):
    folder = export(flavour) / flavour
    monkeypatch.chdir("/")
    suffix = "json" if flavour == "llama-factory" else "jsonl"
    kinds = [
        f"{kind}-{split}" for kind in ("sft", "rft", "preferences") for split in ("train", "val")
    ]
    for kind in kinds:
        (row,) = rows_of(folder / f"{kind}.{suffix}")
        (image,) = row["images"]
        with Image.open(image) as opened:
            assert opened.size == (60, 40)
    others = {p.name for p in folder.iterdir()} - {f"{kind}.{suffix}" for kind in kinds}
    assert others == ({"dataset_info.json"} if flavour == "llama-factory" else set())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_export_with_another_form_beside_it_is_an_export(export, flavour):
    folder = export(flavour)
    read = read_export(folder)
    assert len(read.sft) == 2
    assert any(name.startswith(f"{flavour}/") for name in read.manifest.files)


def test_ms_swift_gets_points_as_objects_and_the_other_reply_as_rejected(export):
    folder = export("ms-swift") / "ms-swift"
    (sft,) = rows_of(folder / "sft-train.jsonl")
    user, assistant = sft["messages"]
    assert user["role"] == "user"
    assert user["content"].count("<image>") == len(sft["images"])
    assert assistant["content"].count("<bbox>") == len(sft["objects"]["bbox"]) == 2
    assert sft["objects"] == {"ref": [], "bbox": [[10.5, 10.25], [20.0, 26.0]]}
    (rft,) = rows_of(folder / "rft-train.jsonl")
    assert [m["role"] for m in rft["messages"]] == ["user"]
    assert rft["solution"] == points_text(np.array(sft["objects"]["bbox"]))
    (pair,) = rows_of(folder / "preferences-train.jsonl")
    assert pair["messages"][-1] == {"role": "assistant", "content": rft["solution"]}
    assert pair["rejected_response"] == "[10, 10], [40, 30]"


def test_llama_factory_finds_every_file_and_column_through_its_description(export):
    folder = export("llama-factory") / "llama-factory"
    described = json.loads((folder / "dataset_info.json").read_text())
    assert len(described) == 6
    for name, entry_ in described.items():
        columns, tags = entry_["columns"], entry_["tags"]
        assert entry_["formatting"] == "sharegpt"
        for row in rows_of(folder / entry_["file_name"]):
            messages = row[columns["messages"]]
            roles = [m[tags["role_tag"]] for m in messages]
            assert roles[0] == tags["user_tag"]
            text = "".join(m[tags["content_tag"]] for m in messages)
            assert text.count("<image>") == len(row[columns["images"]])
            if entry_.get("ranking"):
                for side in ("chosen", "rejected"):
                    assert row[columns[side]][tags["role_tag"]] == tags["assistant_tag"]
                assert roles == [tags["user_tag"]]
            else:
                assert roles == [tags["user_tag"], tags["assistant_tag"]]
        assert entry_.get("ranking", False) == ("preferences" in name)


def load(path: Path, cache: Path):
    return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("kind", ["sft", "rft", "preferences"])
def test_datasets_loads_each_file_from_another_folder_and_opens_its_images(
    export, kind, tmp_path, monkeypatch
):
    folder = export("trl")
    monkeypatch.chdir("/")
    ours = load(folder / f"{kind}.jsonl", tmp_path / "cache")
    assert len(ours) == 2
    for row in ours:  # relative to the file
        with Image.open(folder / row["images"][0]) as image:
            assert image.size == (60, 40)
    absolute = load(folder / "trl" / f"{kind}-train.jsonl", tmp_path / "cache")
    absolute = absolute.cast_column("images", datasets.Sequence(datasets.Image()))
    assert absolute[0]["images"][0].size == (60, 40)
    assert absolute[0]["source"]["split"] == "train"


def test_the_code_of_the_page_loads_an_export_that_was_moved(
    export, repo_root, tmp_path, monkeypatch, capsys
):
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    export("trl").rename(moved)
    page = (repo_root / "docs" / "hugging-face.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "load_dataset" in block)
    monkeypatch.chdir("/")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    known = {}
    exec(block.replace("/data/my-export", str(moved)), known)
    assert len(known["rows"]) == 1  # of two, the one that trains
    assert "(60, 40)" in capsys.readouterr().out
