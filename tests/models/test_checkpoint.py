from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.nuclei import Category
from napari_nunext.models.checkpoints.description import (
    CheckpointDescription,
    SegmenterDescription,
    default_max_points,
    describe,
    read_description,
    read_segmenter_description,
    write_description,
)
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256, token_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODEC = Codec(
    bins=8,
    window_px=64,
    coordinate_start_id=100,
    separator_id=11,
    end_id=50,
    latent_ids=(108, 109),
    category_ids=(110, 111),
    category_names=("Lymphocyte", "Tumour"),
)
DESCRIPTION = CheckpointDescription(
    name="A checkpoint, größer",
    family="qwen2_5_vl",
    codec=CODEC,
    mpp=0.5,
    halo_um=4.0,
    image_tokens=64,
    max_points=64,
    categories=(Category("Lymphocyte", (1, 2, 3)), Category("Tumour", (4, 5, 6))),
    parameters=123,
    metrics=({"data": "somewhere", "f1": 0.5},),
    provenance={"recipe": "tiny", "steps": 3},
)
SEGMENTER = SegmenterDescription(name="s", family="sam", mpp=0.25, window_px=256, parameters=9)


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A copy of the small checkpoint that a test may damage."""
    return shutil.copytree(built, tmp_path / "copied")


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize("description", [DESCRIPTION, SEGMENTER])
def test_a_description_survives_json(description: Any) -> None:
    data = json.loads(json.dumps(description.to_json()))
    assert type(description).from_json(data) == description


DETECTOR_BEFORE = {
    "schema_version": 1,
    "kind": "detector",
    "name": "A checkpoint, größer",
    "family": "qwen2_5_vl",
    "codec": CODEC.to_json(),
    "mpp": 0.5,
    "halo_um": 4.0,
    "image_tokens": 64,
    "max_points": 64,
    "instruction": "Point to nucleus. Output the coordinates in [x, y] format.",
    "categories": [
        {"name": "Lymphocyte", "color": [1, 2, 3]},
        {"name": "Tumour", "color": [4, 5, 6]},
    ],
    "parameters": 123,
    "metrics": [{"data": "somewhere", "f1": 0.5}],
    "provenance": {"recipe": "tiny", "steps": 3},
}
SEGMENTER_BEFORE = {
    "schema_version": 1,
    "kind": "segmenter",
    "name": "s",
    "family": "sam",
    "mpp": 0.25,
    "window_px": 256,
    "parameters": 9,
    "metrics": [],
    "provenance": {},
}


@pytest.mark.parametrize(
    ("before", "description"), [(DETECTOR_BEFORE, DESCRIPTION), (SEGMENTER_BEFORE, SEGMENTER)]
)
def test_checkpoints_of_before_are_read_and_readers_of_before_find_all_they_need(
    before: dict[str, Any], description: Any
) -> None:
    assert type(description).from_json(before) == description
    written = description.to_json()
    assert {key: written[key] for key in before} == before
    assert not {"id", "checkpoint_sha256"} & written.keys()


def test_writing_and_reading_a_description_changes_nothing(copied: Path) -> None:
    before = read_description(copied)
    write_description(copied, before)
    assert read_description(copied) == before
    assert not list(copied.glob("*.part"))


def test_info_of_a_checkpoint_without_categories_has_the_one_for_all_nuclei(built: Path) -> None:
    info = read_description(built).info("0" * 64, strategy="greedy")
    assert [c.name for c in info.categories] == ["Nucleus"]
    assert info.decoding == {"max_points": 16, "strategy": "greedy"}
    assert info.prompt == "Point to nucleus. Output the coordinates in [x, y] format."


def test_a_segmenter_is_not_read_as_a_detector_nor_the_other_way_round(copied: Path) -> None:
    with pytest.raises(CheckpointError, match="is a detector"):
        read_segmenter_description(copied)
    write_description(copied, SEGMENTER)
    assert describe(copied) == SEGMENTER
    with pytest.raises(CheckpointError, match="is a segmenter"):
        read_description(copied)


def test_a_folder_without_a_description_says_what_to_choose(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no nunext\.json\. Choose a folder") as caught:
        read_description(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=99), "schema version 99"),
        (lambda d: d["codec"].update(version=99), "codec version 99"),
        (lambda d: d.pop("mpp"), "malformed .*mpp"),
        (lambda d: d.update(mpp="wide"), "malformed"),
        (lambda d: d.update(mpp=1000), "scale of 1000"),
        (lambda d: d.update(halo_um=30), "leaves no core"),
        (lambda d: d.update(max_points=0), "max_points is 0"),
        (lambda d: d.update(codec=[]), "malformed"),
        (lambda d: d.update(categories=[{"name": "x", "color": [0, 0, 0]}]), "differ from"),
        (lambda d: d["codec"].update(coordinate_start_id=318), "tokenizer has"),
        (lambda d: d["codec"].update(separator_id=12), "tokenizer has ','"),
        (lambda d: d["codec"].update(end_id=5_000), "end token 5000"),
    ],
)
def test_a_description_that_cannot_be_trusted_is_refused_in_one_line(
    copied: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_json(copied / "nunext.json", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        describe(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_description_that_is_not_a_json_object_is_refused(copied: Path, text: str) -> None:
    (copied / "nunext.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"nunext\.json"):
        describe(copied)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=f"no {name}"):
        describe(copied)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pth"])
def test_pickled_weights_are_refused(copied: Path, name: str) -> None:
    (copied / "model.safetensors").rename(copied / name)
    with pytest.raises(CheckpointError, match=f"pickled weights .{name}.*safetensors"):
        describe(copied)


def test_every_shard_must_be_there(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (copied / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"lacks 1 of 2 .*model-2"):
        describe(copied)


def test_every_coordinate_token_is_checked_against_the_tokenizer(copied: Path) -> None:
    codec = read_description(copied).codec
    assert len(token_ids(codec)) == codec.bins + 1

    def swap(data: dict[str, Any]) -> None:
        token = next(t for t in data["added_tokens"] if t["content"] == "<|coord_7|>")
        token["content"] = "<|coordinate_7|>"

    edit_json(copied / "tokenizer.json", swap)
    with pytest.raises(CheckpointError, match=r"'<\|coord_7\|>' at no id"):
        describe(copied)


def test_the_content_hash_is_over_paths_and_file_hashes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_bytes(b"bb")
    (tmp_path / "sub" / "a.txt").write_bytes(b"a")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "ignored").write_bytes(b"x")
    lines = [
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n"
        for name, content in (("b.txt", b"bb"), ("sub/a.txt", b"a"))
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert checkpoint_sha256(tmp_path) == expected


def test_the_content_hash_follows_a_changed_file_and_not_the_folder(
    copied: Path, built: Path
) -> None:
    assert checkpoint_sha256(copied) == checkpoint_sha256(built)
    config = copied / "config.json"
    stat = config.stat()
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    os.utime(config, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its size alone tells
    assert checkpoint_sha256(copied) != checkpoint_sha256(built)


def test_hashing_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a folder"):
        checkpoint_sha256(tmp_path / "nothing")


def test_a_window_holds_a_nucleus_for_every_16_square_um() -> None:
    assert default_max_points(64, 0.5) == 64
    assert default_max_points(448, 0.25) == 784
    assert default_max_points(8, 0.25) == 16


def test_describing_and_listing_import_neither_torch_nor_transformers(built: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from napari_nunext.models.catalog import Catalog;"
        "print({e.problem for e in Catalog([Path(sys.argv[1])]).entries()});"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(built)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "{None}"
