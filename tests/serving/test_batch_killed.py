"""The command is killed in the middle of a batch, and again: it ends as one that was left alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nunext import cli
from napari_nunext.commands.export import export_project
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.detector import WindowEnd
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from napari_nunext.store import Project
from napari_nunext.synthetic import synthesise
from tests.serving.conftest import TOKEN
from tests.waiting import PATIENCE_S, pause, wait_for

if TYPE_CHECKING:
    from pathlib import Path

KILLED_AFTER = (1, 4, 7)
"""So many windows are recorded, or a few more, when the command is killed."""
WINDOWS = 12


class Noted:
    """A detector that ends a window when it may, and notes which it ended."""

    def __init__(self, detector) -> None:
        self._detector = detector
        self.info = detector.info
        self.begun = threading.Event()
        self.may_end = threading.Semaphore(0)
        self.free = False

    def detect(self, windows, *, cancelled):
        self.begun.set()
        # One by one: what is decoded side by side decides how the arithmetic rounds.
        for index in range(len(windows)):
            for event in self._detector.detect([windows[index]], cancelled=cancelled):
                while isinstance(event, WindowEnd) and not self._may_go_on():
                    if cancelled():
                        return
                    pause()
                yield replace(event, window=index)

    def _may_go_on(self):
        return self.free or self.may_end.acquire(blocking=False)


@pytest.fixture
def drawn(tmp_path) -> Path:
    folder = tmp_path / "drawn"
    folder.mkdir()
    for seed in range(2):
        field = synthesise(np.random.default_rng(seed), height_px=100, width_px=120, mpp=0.5)
        Image.fromarray(field.rgb).save(folder / f"{seed}.png")
    return folder


def recorded(path: Path) -> dict[str, dict[int, str]]:
    """The windows that a project has, by image and number."""
    with Project.open(path, annotator="ab", mode="r") as project:
        return {
            entry.sha256: project.windows_done(run.run_id)
            for entry in project.images()
            for run in project.predictions(entry.sha256, no_nuclei=True)
        }


def count(path: Path) -> int:
    """How many there are, also while the project is being made."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM run_window WHERE number IS NOT NULL").fetchone()[0]
    return 0


def exported(project: Path) -> dict[str, bytes]:
    out = project.with_suffix(".out")
    export_project(project, out, "geojson")
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_batch_that_is_killed_thrice_ends_as_one_left_alone(
    start, catalog, drawn, tmp_path, monkeypatch
):
    build_checkpoint(tmp_path / "nano", max_points=8, categories=["Lymphocyte"], seed=3)
    detector = catalog.detectors["noted"] = Noted(
        NextPointDetector(tmp_path / "nano", device="cpu")
    )
    url = start(token=TOKEN).url

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    arguments = ["detect", str(drawn), "--mpp", "0.5", "--server", url, "--model", "noted"]
    command = [sys.executable, "-m", "napari_nunext.cli", *arguments, "--project"]
    killed, alone = tmp_path / "killed.nunext", tmp_path / "alone.nunext"

    def has(windows: int) -> bool:
        detector.may_end.release()
        return count(killed) >= windows

    for windows in KILLED_AFTER:
        detector.begun.clear()
        with subprocess.Popen([*command, str(killed)]) as process:
            assert detector.begun.wait(PATIENCE_S)
            wait_for(partial(has, windows))
            process.kill()
            process.wait(PATIENCE_S)
    before = recorded(killed)
    assert count(killed) < WINDOWS
    detector.free = True
    for project in (killed, alone):
        assert cli.main([*arguments, "--project", str(project)]) == 0
        assert count(project) == WINDOWS
    for image, windows in before.items():
        assert windows.items() <= recorded(killed)[image].items()
    assert exported(killed) == exported(alone)
