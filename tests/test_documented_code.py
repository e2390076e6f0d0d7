"""Every block of code in the documents is run by a test, or named here with why it is not."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import immunohistochemistry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "training/*.md", "napari_nunext/weights/*/*.md")
    for path in ROOT.glob(pattern)
)
HERE = "tests/test_documented_code.py"

RUN_BY = {
    "README.md": HERE,
    "docs/doors/researcher.md": HERE,
    "docs/server.md": HERE,
    "docs/python.md": "tests/api/test_page.py",
    "docs/hugging-face.md": "tests/api/test_page.py",
    "docs/stains.md": "tests/api/test_staining.py",
    "docs/detectors.md": "tests/models/others/test_documented_example.py",
    "docs/extending.md": "tests/training/test_documented_extensions.py",
}
"""The test that runs the Python of a page."""

NOT_RUN = {
    "docs/scale-out.md": "imports verl, which wants a GPU and pins of its own",
}
"""The Python that no test runs, and why."""

PROGRAMS = {
    "napari-nunext": "its options are compared with --help; tests/test_cli.py runs each command",
    "nunext-train": "tests/training/test_documented_commands.py runs blocks that need nothing; the "
    "options of all are compared with --help",
    "make": "targets are looked up; running them installs the whole environment",
    "pip": "installs; extras are looked up",
    "llmc/bin/pip": "installs another environment",
    "python": "starts a process of its own, for hours",
    "python3.11": "makes another environment",
    "accelerate": "several processes: tests/training/test_following.py starts them itself",
    "serve": "wants a Ray cluster: make test-ray",
    "vllm": "wants a GPU; make test-vllm runs its engine on the CPU",
    "docker": "wants a container engine",
    "openssl": "makes a secret",
    "hf": "wants an account at the Hub",
}
"""Programs of the shell blocks: how far their lines are tried. Others are not to be used."""


def blocks_of(page: str, *languages: str) -> list[str]:
    """The fenced code of a page in some languages, without what a list indents it by."""
    text = (ROOT / page).read_text("utf-8")
    fences = re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for language, code in fences if language in languages]


def names(*languages: str) -> list[str]:
    """Pages that have such code."""
    every = [str(path.relative_to(ROOT)) for path in PAGES]
    return [name for name in every if blocks_of(name, *languages)]


def test_all_python_is_run_or_said_not_to_be() -> None:
    assert set(names("python", "py")) == RUN_BY.keys() | NOT_RUN.keys()
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/doors/researcher.md"])
def test_the_python_that_greets_people_runs(page, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_of(page, "python")
    assert len(block.splitlines()) <= 10
    known: dict[str, object] = {}
    exec(block, known)
    assert len(known["nuclei"]) > 20  # type: ignore[arg-type]
    assert "Stromal" in capsys.readouterr().out
    assert json.loads((tmp_path / "nuclei.geojson").read_text("utf-8"))["features"]


@pytest.mark.slow
def test_the_python_of_the_page_of_the_server_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_of("docs/server.md", "python")
    Image.fromarray(np.ascontiguousarray(immunohistochemistry()[:192, :192])).save("tile.png")
    exec(block, {})
    assert re.fullmatch(r"\d+ nuclei\n", capsys.readouterr().out)


@pytest.mark.parametrize("page", names("toml"))
def test_toml_can_be_read(page: str) -> None:
    for block in blocks_of(page, "toml"):
        assert tomllib.loads(block)


@pytest.mark.parametrize("page", names("bash", "console"))
def test_shell_blocks_use_programs_of_which_it_is_said_how_far_they_are_tried(page: str) -> None:
    unknown = []
    for block in blocks_of(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].split()
            words = [word for word in words if not re.match(r"[A-Z0-9_]+=", word)]
            if words and words[0] not in PROGRAMS:
                unknown.append(line)
    assert unknown == []
