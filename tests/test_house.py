"""The plan of the code: rooms of a size, each saying what is in it."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREES = (ROOT / "napari_nunext", ROOT / "training" / "nunext_training")
PACKAGES = sorted(p.parent for tree in TREES for p in tree.rglob("__init__.py"))

MOST_MODULES = 15

MOST_LINES = 400


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_a_package_is_small_enough_to_be_known_by_heart(package: Path) -> None:
    modules = [p for p in package.glob("*.py") if p.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_a_package_says_what_is_in_it(package: Path) -> None:
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8")))


def test_no_module_is_too_long() -> None:
    long = {
        name(path): lines
        for tree in TREES
        for path in tree.rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_the_architecture_names_every_wing() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    wings = {p.parent.name for tree in TREES for p in tree.glob("*/__init__.py")} | {
        p.parent.name for p in (ROOT / "napari_nunext").glob("models/*/__init__.py")
    }
    assert sorted(wing for wing in wings if f"{wing}/" not in page) == []


def test_the_index_leads_to_every_document() -> None:
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text("utf-8")
    assert (
        sorted(
            p.name
            for p in docs.glob("*.md")
            if p.name != "README.md" and f"({p.name})" not in index
        )
        == []
    )


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_link_leads_out_of_the_repository() -> None:
    """A committed link to an environment replaces the environment wherever it is checked out."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = dict(reversed(entry.split("\t", 1)) for entry in listed.split("\0") if entry)
    links = [ROOT / path for path, stage in files.items() if stage.startswith("120000")]
    assert links
    assert [name(link) for link in links if link.readlink().is_absolute()] == []
    assert all(link.resolve().is_relative_to(ROOT) for link in links)


OF_STARLETTE = "request.stream"


def test_what_we_stream_is_closed_where_it_is_left() -> None:
    """By `contextlib.aclosing`: left by an error or a break, an asynchronous generator of ours
    would hold its connection until Python collects it."""
    trees = {p: ast.parse(p.read_text("utf-8")) for tree in TREES for p in tree.rglob("*.py")}
    ours = {
        function.name
        for tree in trees.values()
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        and any(isinstance(part, ast.Yield) for part in ast.walk(function))
    }
    assert ours
    left_open = [
        f"{name(path)}:{loop.lineno}"
        for path, tree in trees.items()
        for loop in ast.walk(tree)
        if isinstance(loop, ast.AsyncFor) and isinstance(loop.iter, ast.Call)
        if (called := ast.unparse(loop.iter.func)).split(".")[-1] in ours
        if called != OF_STARLETTE
    ]
    assert left_open == []
