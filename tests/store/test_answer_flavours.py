"""Files of answers as other trainers read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import datasets
import pytest
from PIL import Image

from napari_nunext.core.formats.answer_records import FOR_TRAINERS
from napari_nunext.core.formats.flavours import FLAVOURS
from napari_nunext.store import Project
from tests.store.answering import AskingLab
from tests.store.conftest import ticking

if TYPE_CHECKING:
    from pathlib import Path

YES = "<think>It is pale.</think><answer>yes</answer>"
NO = "<think>It is not.</think><answer>no</answer>"


@pytest.fixture
def export(path, tmp_path):
    """``export(flavour)``: of two patients, one kept aside; a row of every kind for each."""
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        lab = AskingLab(project)
        for seed in range(2):
            sha = lab.add_image(seed, patient=f"patient {seed}")
            right, wrong = lab.ask(sha, YES), lab.ask(sha, NO)
            lab.rate(sha, right, 5)
            lab.rate(sha, wrong, 3)
            lab.prefer(sha, right, wrong, "left")

        def write(flavour):
            lab.export(tmp_path / "export", flavour=flavour)
            return tmp_path / "export" / flavour

        yield write


NUCLEI = [(12.5, 20.0, "Lymphocyte"), (69.5, 59.5, "Stromal")]
TOLD = "Nuclei (x y category): 2 0 Lymphocyte; 59 39 Stromal;\n"


@pytest.fixture
def read_export(path, tmp_path):
    """The same of answers, half of which were given by one that reads nuclei."""
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        lab = AskingLab(project)
        sha = lab.add_image()
        right, wrong = lab.ask(sha, YES, nuclei=NUCLEI), lab.ask(sha, NO)
        lab.rate(sha, right, 5)
        lab.rate(sha, wrong, 1)
        lab.prefer(sha, right, wrong, "left")

        def write(flavour):
            lab.export(tmp_path / "export", flavour=flavour)
            return tmp_path / "export" / flavour

        yield write


def prompt_of(row):
    """The user's words, whatever the form."""
    found = row["prompt"] if "prompt" in row else row["messages"]
    (said,) = (m["content"] for m in found if m["role"] == "user")
    return said.removeprefix("<image>")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_was_read_of_nuclei_stands_in_the_prompt_in_pixels_of_the_image(read_export, flavour):
    folder = read_export(flavour)
    asked = "Is there necrosis? (A) yes, (B) no"
    suffix = "json" if flavour == "llama-factory" else "jsonl"
    told = {
        name: [prompt_of(row) for row in rows_of(folder / f"{name}-train.{suffix}")]
        for name in FOR_TRAINERS
    }
    assert told["answers_sft"] == told["answers_preferences"] == [TOLD + asked]
    assert told["answers_kto"] == [TOLD + asked, asked]
    assert told["answers_rft"] == [TOLD + asked, asked][: len(told["answers_rft"])]


def test_the_form_of_trl_is_read_by_datasets_where_some_read_nuclei(read_export):
    folder = read_export("trl")
    path = str(folder / "answers_kto-train.jsonl")
    rows = datasets.load_dataset("json", data_files=path, split="train")
    assert "nuclei" not in rows.column_names
    assert len(rows) == 2


def rows_of(path: Path):
    text = path.read_text("utf-8")
    return json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_form_has_the_files_of_each_split_with_images_that_open_anywhere(
    export, flavour, monkeypatch
):
    folder = export(flavour)
    monkeypatch.chdir("/")
    suffix = "json" if flavour == "llama-factory" else "jsonl"
    for name in FOR_TRAINERS:
        for split in ("train", "val"):
            found = rows_of(folder / f"{name}-{split}.{suffix}")
            # A rating without a truth is nothing that LLaMA-Factory could use.
            several = name == "answers_rft" and flavour != "llama-factory"
            assert len(found) == (2 if several else 1)
            for row in found:
                (image,) = row["images"]
                with Image.open(image) as opened:
                    assert opened.size == (60, 40)


def test_ms_swift_gets_marks_of_images_the_other_reply_and_labels(export):
    folder = export("ms-swift")
    (sft,) = rows_of(folder / "answers_sft-train.jsonl")
    system, user, assistant = sft["messages"]
    assert (system["role"], user["role"], assistant["role"]) == ("system", "user", "assistant")
    assert user["content"] == "<image>Is there necrosis? (A) yes, (B) no"
    assert assistant["content"] == YES
    assert "<image>" not in system["content"] + assistant["content"]
    (pair,) = rows_of(folder / "answers_preferences-train.jsonl")
    assert (pair["messages"][-1]["content"], pair["rejected_response"]) == (YES, NO)
    rft = rows_of(folder / "answers_rft-train.jsonl")
    assert [(r["solution"], r["rating"], len(r["messages"])) for r in rft] == [
        ("yes", 1, 2),
        ("", 0.5, 2),
    ]
    (kto,) = rows_of(folder / "answers_kto-train.jsonl")
    assert (kto["label"], kto["messages"][-1]["content"]) == (True, YES)


def test_llama_factory_finds_every_file_and_column_through_its_description(export):
    folder = export("llama-factory")
    described = rows_of(folder / "dataset_info.json")
    assert len(described) == 8
    for name, entry in described.items():
        columns, tags = entry["columns"], entry["tags"]
        assert tags["system_tag"] == "system"
        for row in rows_of(folder / entry["file_name"]):
            messages = row[columns["messages"]]
            roles = [m[tags["role_tag"]] for m in messages]
            assert roles[:2] == [tags["system_tag"], tags["user_tag"]]
            text = "".join(m[tags["content_tag"]] for m in messages)
            assert text.count("<image>") == len(row[columns["images"]])
            if entry.get("ranking"):
                assert [row[columns[s]]["content"] for s in ("chosen", "rejected")] == [YES, NO]
                assert len(roles) == 2
            else:
                assert roles[2:] == [tags["assistant_tag"]]
            if "kto_tag" in columns:
                assert row[columns["kto_tag"]] is True
        assert ("kto_tag" in columns) == ("kto" in name)
        assert entry.get("ranking", False) == ("preferences" in name)


@pytest.mark.parametrize("name", ["answers", *FOR_TRAINERS])
def test_datasets_loads_each_file_and_opens_its_images(export, name, tmp_path, monkeypatch):
    folder = export("trl")
    monkeypatch.chdir("/")

    def load(path):
        cache = str(tmp_path / "cache")
        return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)

    for row in load(folder.parent / f"{name}.jsonl"):  # relative to the file
        with Image.open(folder.parent / row["images"][0]) as image:
            assert image.size == (60, 40)
    if name in FOR_TRAINERS:
        rows = load(folder / f"{name}-train.jsonl")
        rows = rows.cast_column("images", datasets.Sequence(datasets.Image()))
        assert rows[0]["images"][0].size == (60, 40)
        assert rows[0]["prompt"][1]["content"] == "Is there necrosis? (A) yes, (B) no"
