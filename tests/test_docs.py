"""The documentation tells the truth: links lead somewhere, commands and extras exist."""

from __future__ import annotations

import io
import re
import shlex
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import pytest

import napari_nunext

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "training/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)
TRAINING = "training/nunext_training"
CLIS = {"napari-nunext": "napari_nunext.cli", "nunext-train": "nunext_training.cli"}

document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)


def without_code(markdown: str) -> str:
    """The prose of a document: its fenced blocks and code spans blanked."""
    fenced = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", fenced)


def code_lines(markdown: str) -> list[str]:
    """Lines of the fenced and indented blocks, and the code spans, of a document."""
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    joined = "\n".join(fences).replace("\\\n", " ")
    indented = re.findall(r"^(?: {4}|\t)(\S.*)$", prose, flags=re.MULTILINE)
    return joined.splitlines() + indented + re.findall(r"`([^`\n]+)`", prose)


def anchors(markdown: str) -> set[str]:
    """Names of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6}\s+(.*?)\s*#*$", markdown, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(markdown: str, program: str) -> list[list[str]]:
    """Every call of ``program`` in a document's code, as its arguments.

    A comment, a pipe or another command ends a call; brackets around what is optional are dropped.
    Neither the bare name of a program is a call, nor the program with a ``<placeholder>``.
    """
    found = []
    for line in code_lines(markdown):
        match = re.match(rf"(?:\$ |\.venv/bin/)?{re.escape(program)}\s+(.+)", line.strip())
        if match:
            lexer = shlex.shlex(match[1], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = [word.strip("[]") for word in takewhile(is_argument, lexer)]
            if words:
                found.append(words)
    return found


def is_argument(word: str) -> bool:
    """Whether a word of a command line is one, rather than the shell's punctuation."""
    return not set(word) <= set("|&;<>()")


@cache
def help_text(module: str, *subcommand: str) -> str | None:
    """What ``--help`` prints, or None where the program knows no such subcommand."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(io.StringIO()):
        try:
            code = import_module(module).main([*subcommand, "--help"])
        except SystemExit as ended:  # of argparse
            code = ended.code
    return None if code else said.getvalue()


def test_the_readers_of_documents_find_what_they_look_for() -> None:
    text = (
        "# A b: c\nSee `make x`.\n```bash\nnunext-train sft --data D \\\n  --out O | tee log\n```\n"
    )
    assert commands(text, "make") == [["x"]]
    assert commands(text, "nunext-train") == [["sft", "--data", "D", "--out", "O"]]
    assert commands("`nunext-train <stage>` `nunext-train`", "nunext-train") == []
    assert commands("`napari-nunext detect A [--masks]`", "napari-nunext") == [
        ["detect", "A", "--masks"]
    ]
    assert anchors(text) == {"a-b-c"}
    assert "nunext-train" not in without_code(text)


@document
def test_every_link_resolves(path: Path) -> None:
    broken = []
    targets = re.findall(r"\]\(<?([^)>\s]+)>?[^)]*\)", without_code(path.read_text("utf-8")))
    for target in targets:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (
            anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8"))
        ):
            broken.append(target)
    assert broken == []


@document
def test_every_make_target_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    asked = {
        word
        for words in commands(path.read_text("utf-8"), "make")
        for word in words
        if re.fullmatch(r"[a-z]+", word)
    }
    assert asked <= targets


@document
@pytest.mark.parametrize("program", CLIS)
def test_every_command_line_is_understood(path: Path, program: str) -> None:
    unknown = []
    for words in commands(path.read_text("utf-8"), program):
        # Of a command of commands as well, such as `ask sft`; other words do no harm.
        leading = list(takewhile(lambda word: not word.startswith("-"), words))
        text = help_text(CLIS[program], *leading) or help_text(CLIS[program], *leading[:1])
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        if text is None:
            unknown.append(shlex.join(words))
        unknown += [
            f"{shlex.join(words)}: {option}"
            for option in options
            if text is not None and not re.search(rf"{re.escape(option)}\b", text)
        ]
    assert unknown == []


@document
def test_every_extra_exists(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = path.read_text("utf-8")
    asked = {
        extra.strip()
        for extras in re.findall(r"napari-nunext\[([\w\s,-]+)\]", text)
        for extra in extras.split(",")
    }
    assert asked <= set(project["optional-dependencies"])


@document
def test_every_test_that_is_named_exists(path: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", path.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_module_of_the_way_of_a_tile_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    way = page.partition("## The way of a tile")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:\w+\.)+\w+)`", way)
    assert len(named) > 10

    def is_there(name: str) -> bool:
        places = (ROOT / base / name.replace(".", "/") for base in ("napari_nunext", TRAINING))
        return any(place.with_suffix(".py").is_file() for place in places)

    assert [name for name in named if not is_there(name)] == []


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == napari_nunext.__version__


def test_who_cites_is_told_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {napari_nunext.__version__}\n" in citation


def test_nothing_requires_torchvision() -> None:
    """Beside a CPU build of torch, for which none fits, it breaks ``import transformers``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = project["dependencies"] + extras["all"] + extras["training"]
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert not [line for line in required + pins if re.match(r"torch(vision|audio)", line)]
