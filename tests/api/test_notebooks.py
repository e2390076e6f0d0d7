"""The code of the notebooks, cell by cell."""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SLOW = {"review_and_retrain"}
"""It trains."""


def cells(path: Path) -> Iterator[tuple[str, str | None]]:
    """What is to be run, and the package that it is left out without, where it says one."""
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            tags = cell["metadata"].get("tags", [])
            needs = [tag.removeprefix("needs ") for tag in tags if tag.startswith("needs ")]
            yield "".join(cell["source"]), next(iter(needs), None)


def test_notebooks_are_kept_without_what_they_once_printed() -> None:
    assert len(NOTEBOOKS) >= 4
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text("utf-8"))
        assert not any(cell.get("outputs") for cell in notebook["cells"]), path.name


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] if p.stem in SLOW else []) for p in NOTEBOOKS],
    ids=[path.stem for path in NOTEBOOKS],
)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "anndata"):
        pytest.importorskip(package)
    monkeypatch.setenv("MPLBACKEND", "agg")
    commands = Path(sys.executable).parent  # where ours are installed
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {"__name__": "__main__"}
    for code, needs in cells(path):
        if needs is None:
            exec(compile(code, path.name, "exec"), known)
        elif find_spec(needs) is not None:
            with warnings.catch_warnings(action="ignore"):  # theirs
                exec(compile(code, path.name, "exec"), known)
    if "scores" in known:  # of the models that are compared, the learnt one is the better
        scores = known["scores"]["F1"]  # type: ignore[index]
        assert scores["nunext-small"] > scores["classical"]
    if "before_and_after" in known:
        assert min(known["before_and_after"].values()) > 0.7  # type: ignore[attr-defined]
        assert {"add", "complete_region"} <= set(known["done"]["kind"])  # type: ignore[index]
