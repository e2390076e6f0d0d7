"""The code of the notebooks, cell by cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[str]:
    """What is to be run."""
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_notebooks_are_kept_without_what_they_once_printed() -> None:
    assert len(NOTEBOOKS) >= 3
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text("utf-8"))
        assert not any(cell.get("outputs") for cell in notebook["cells"]), path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "anndata"):
        pytest.importorskip(package)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {"__name__": "__main__"}
    for cell in cells(path):
        exec(compile(cell, path.name, "exec"), known)
    if "scores" in known:  # of the models that are compared, the learnt one is the better
        scores = known["scores"]["F1"]  # type: ignore[index]
        assert scores["nunext-small"] > scores["classical"]
