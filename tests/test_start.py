"""What is imported by when: a person who opens an image waits for every module of it.

Names of modules, not times: those depend on the machine.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING

import pytest

from napari_nunext.places import HOME_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"torch", "transformers", "accelerate", "huggingface_hub", "tokenizers"}
"""What models need, in the server's process alone."""


def imported_by(code: str) -> set[str]:
    """Modules in memory after some code, in a process of its own, of a user who has nothing yet."""
    lines = [
        "import json, sys",
        textwrap.dedent(code),
        "print('\\n' + json.dumps(sorted(sys.modules)))",
    ]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env=os.environ | {HOME_VARIABLE: home},
            capture_output=True,
            text=True,
            check=True,
        )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_module_of_scipy_is_imported_when_it_is_first_used(repo_root: Path) -> None:
    """`import scipy` costs nothing; `scipy.ndimage` and its like cost a third of a second."""
    at_once = [
        f"{path.relative_to(repo_root)}:{node.lineno}"
        for path in sorted((repo_root / "napari_nunext").rglob("*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scipy"))
        or (isinstance(node, ast.Import) and any(a.name.startswith("scipy.") for a in node.names))
    ]
    assert at_once == []


def test_the_server_is_launched_before_anything_large_is_imported() -> None:
    code = """
        from napari_nunext import cli
        from napari_nunext.serving.client.local_server import LocalServer

        def launch(self):
            print("\\n" + json.dumps(sorted(sys.modules)))
            sys.stdout.flush()
            import os
            os._exit(0)

        LocalServer.launch = launch
        cli.main(["open", "tile.tif"])
    """
    there = {name.partition(".")[0] for name in imported_by(code)}
    assert "napari_nunext" in there
    assert not there & (HEAVY | {"napari", "numpy", "qtpy", "scipy", "pydantic", "httpx"})


def test_what_connects_to_the_server_is_imported_before_its_thread_starts() -> None:
    code = """
        from napari_nunext import cli
        from napari_nunext.serving.client.local_server import LocalServer

        def start(self):
            print("\\n" + json.dumps(sorted(sys.modules)))
            sys.stdout.flush()
            import os
            os._exit(0)

        LocalServer.launch, LocalServer.start = (lambda self: None), start
        cli.main(["open", "tile.tif"])
    """
    there = imported_by(code)
    assert {"napari_nunext.serving.client.client", "pydantic", "httpx"} <= there


def test_the_server_listens_before_models_and_scipy_are_imported() -> None:
    there = imported_by("import napari_nunext.serving.__main__")
    assert "uvicorn" in there
    tops = {name.partition(".")[0] for name in there}
    assert not tops & (HEAVY | {"napari", "httpx", "skimage", "sqlalchemy", "pandas"})
    assert not there & {"scipy.ndimage", "scipy.spatial", "scipy.sparse", "scipy.special"}


@pytest.mark.slow
@pytest.mark.ui
def test_the_window_searches_without_importing_what_models_need(
    repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo_root)
    monkeypatch.setenv("NAPARI_NUNEXT_HOME", str(tmp_path))
    code = f"""
        import time
        from pathlib import Path
        from benchmarks.cold_start import start, write_tile

        start(write_tile(Path({str(tmp_path)!r})), time.monotonic())
    """
    there = {name.partition(".")[0] for name in imported_by(code)}
    assert {"napari", "napari_nunext"} <= there
    assert not there & (HEAVY | {"sklearn", "uvicorn", "fastapi"})


@pytest.mark.slow
def test_a_detector_is_loaded_without_what_it_does_not_need() -> None:
    code = """
        from napari_nunext.models.catalog import Catalog

        catalog = Catalog([])
        catalog.load_detector(catalog.default_detector_id)
    """
    there = imported_by(code)
    assert "torch" in there
    unneeded = {"skimage", "pandas", "torchvision", "sklearn"}
    assert not there & (unneeded | {"napari_nunext.models.sam.segmenter", "transformers.trainer"})
