"""The code of docs/python.md and docs/hugging-face.md, as it stands there."""

from __future__ import annotations

import re

import numpy as np

from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from tests.api.test_calls import project
from tests.serving.conftest import TOKEN

__all__ = ["project"]


def blocks_of(page: str) -> list[str]:
    """The code of a page, in its order."""
    return re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def test_every_block_of_the_page_of_transformers_runs(repo_root) -> None:
    known: dict[str, object] = {}
    blocks = blocks_of((repo_root / "docs" / "hugging-face.md").read_text("utf-8"))
    assert len(blocks) >= 3
    for block in blocks:
        if "load_dataset" not in block:  # tests/store/test_flavours.py has an export for it
            exec(block, known)
    assert known["points_xy"].shape == (2, 2)  # type: ignore[attr-defined]
    assert set(known["categories"]) == {"Tumour or epithelial"}  # type: ignore[call-overload]


def test_every_block_of_the_page_runs(
    repo_root, server, project, monkeypatch, tmp_path, capsys
) -> None:
    page = (repo_root / "docs" / "python.md").read_text("utf-8")
    blocks = blocks_of(page)
    assert len(blocks) >= 6
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "review.nunext")
    known: dict[str, object] = {}
    for block in blocks:
        exec(block.replace("http://gpu-box:8000", server.url), known)
    said = capsys.readouterr().out
    (claimed,) = re.findall(r"print\(nuclei\)  # (<.*>)", page)
    assert said.splitlines()[0].split(":")[0] == claimed.split(":")[0]  # of how many nuclei
    assert (tmp_path / "nuclei.geojson").is_file()
    assert len(known["there"]) > 0  # type: ignore[arg-type]
    assert np.isfinite(known["drawn"].area_um2).any()  # type: ignore[attr-defined]
