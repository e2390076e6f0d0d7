"""The documentation's own lines are run, and nothing is left out by them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nunext_training.cli import main
from tests.training.published import brca_m2c, dsb2018

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(p for g in ("*.md", "docs/**/*.md", "training/**/*.md") for p in ROOT.glob(g))

PLACES = {
    "path/to/brca_m2c": brca_m2c,
    "~/data/brca_m2c": brca_m2c,
    "path/to/dsb2018_stained": dsb2018,
}
"""What a reader puts in the place of a path, as a small data set."""

RUN = {"build", "extend", "import", "sft", "evaluate"}
"""Blocks of these alone are run, if they begin with what needs nothing: `build` or `import`."""

QUICK = {
    "sft": [
        "--steps",
        "2",
        "--validate-every",
        "2",
        "--batch-size",
        "2",
        "--warmup-steps",
        "0",
        "--untested",
    ],
    "synthetic": ["--count", "2", "--size-px", "64"],
    "painted-ihc": ["--sections", "1", "--segmenter", "classical"],
    "painted-pas": ["--sections", "1", "--segmenter", "classical"],
}
"""Options that prevail over those of the documents: less of the same."""


def blocks():
    """Commands of each block that can be run, with the document that has it."""
    for document in DOCUMENTS:
        fences = re.findall(r"^```bash\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)
        for number, text in enumerate(fences):
            lines = text.replace("\\\n", " ").splitlines()
            words = [shlex.split(line, comments=True) for line in lines]
            words = [line for line in words if line]
            if all(line[0] == "nunext-train" and line[1] in RUN for line in words) and (
                words[0][1] == "import" or words[0][1] == "build"
            ):
                name = f"{document.relative_to(ROOT)} {number}"
                yield pytest.param([line[1:] for line in words], id=name)


BLOCKS = list(blocks())


def test_the_blocks_that_a_reader_begins_with_are_among_them():
    documents = {param.id.split()[0] for param in BLOCKS}
    assert {"README.md", "training/README.md"} <= documents


@pytest.mark.parametrize("commands", BLOCKS)
def test_a_documented_block_runs_and_leaves_nothing_out(
    commands, tmp_path, monkeypatch, caplog, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for words in commands:
        for word in words:
            if "/" in word and "FROM" not in word:
                assert word in PLACES, f"Say in PLACES what stands for {word}."
                path = Path(word).expanduser()
                if not path.exists():
                    path.mkdir(parents=True)
                    PLACES[word](path)
        given = [str(Path(w).expanduser()) if w in PLACES else w for w in words]
        quick = QUICK.get(words[0], []) + QUICK.get(words[1], [])
        assert main([*given, *quick]) == 0, shlex.join(words)
        err = capsys.readouterr().err
        assert "eft out" not in err + caplog.text, shlex.join(words)


def test_a_block_that_names_categories_otherwise_is_stopped(tmp_path, monkeypatch, capsys):
    """As the training block of the README once did: 71 of 85 regions were left out."""
    monkeypatch.chdir(tmp_path)
    brca_m2c(tmp_path / "brca_m2c")
    build = ["build", "--preset", "tiny", "--categories", "Lymphocyte,Tumour,Stromal"]
    assert main([*build, "--out", "start"]) == 0
    assert main(["import", "brca-m2c", "brca_m2c", "--out", "brca"]) == 0
    sft = ["sft", "--data", "brca", "--checkpoint", "start", "--out", "t", *QUICK["sft"]]
    capsys.readouterr()
    assert main(sft) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "2 of 2 regions would be left out." in last
    assert "does not know 'Tumour or epithelial' (2 nuclei); it knows Lymphocyte, Tumour" in last
    assert main([*sft, "--rename", "Tumour or epitelial=Tumour"]) == 2
    assert "There is no category 'Tumour or epitelial' to rename" in capsys.readouterr().err
    assert main([*sft, "--rename", "Tumour or epithelial=Tumour"]) == 0
