"""A project of schema 1, with a prediction a row: `version_1.sql`, written by the version before.

It has one image, which was drawn by arithmetic, and three runs: one with masks, hidden predictions
and corrections of every kind, one over half of it, one that found nothing. The sums are of the
exports that the version before made of it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_nunext.commands.export import export_project
from napari_nunext.core.errors import StoreError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.soundness import at_opening
from napari_nunext.store import Project, events

BEFORE = Path(__file__).with_name("version_1.sql")

EXPORTED = {
    "geojson/drawn.geojson": "225e803f8be8be57e5f5c5f40a29eec8a8ead3404323d1cc4eb37d99008e8bd1",
    "csv/drawn.csv": "6cb80a847c36ced5b11870916ced4c1b4562c2485b4779f42ce7de4e1bd5aa72",
    "coco/instances.json": "05b6d1004aa92909b9c5fb7b85cdd1d21879b07af060e9b2d564bb2a070b68d5",
    "coco-results/results.json": "0b94a960a730c908531b5c2423c867c0fc2269adc3bd82e8a14fb1badf8f86d7",
    "training/rft.jsonl": "4e2239da3ccfa6a4cbbff13dc0dbebb6e93117423541fcddd1c74a0017f613a0",
    "training/sft.jsonl": "f3ccaa4f9749b80fd0af3e9f21f5870a8d2a538f0343b950eed9de25823da5a3",
}
"""SHA-256 of each file that depends on neither the time nor the encoder of images."""

OLD_TABLES = {"prediction", "prediction_mask", "hidden_prediction"}


@pytest.fixture
def path(tmp_path):
    y, x = np.mgrid[:80, :100]
    rgb = np.stack([200 + x % 50, 150 + y % 60, 180 + (x * y) % 70], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "drawn.png")
    path = tmp_path / "p.nunext"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(BEFORE.read_text("utf-8"))
    return path


def opened(path, mode="rw"):
    return Project.open(path, annotator="jd", mode=mode, create=False)


def tables(path):
    with closing(sqlite3.connect(path)) as database:
        return {n for (n,) in database.execute("SELECT name FROM sqlite_master") if n in OLD_TABLES}


def without_new_column(table: bytes) -> bytes:
    """A table as it was before position errors, which that version knew nothing of."""
    header, *rows = table.splitlines(keepends=True)
    assert header.endswith(b",position_error_um\n")
    assert all(row.endswith(b",\n") for row in rows)
    return b"".join([header.replace(b",position_error_um", b""), *(r[:-2] + b"\n" for r in rows)])


@pytest.mark.parametrize("carried_up", [True, False], ids=["carried up", "only read"])
def test_it_is_exported_as_the_version_before_did(path, tmp_path, carried_up):
    before = path.read_bytes()
    if carried_up:
        opened(path).close()
    sums = {}
    for name in EXPORTED:
        folder, file = name.split("/")
        if not (tmp_path / folder).exists():
            export_project(path, tmp_path / folder, folder)
        written = (tmp_path / folder / file).read_bytes()
        sums[name] = hashlib.sha256(
            without_new_column(written) if folder == "csv" else written
        ).hexdigest()
    assert sums == EXPORTED
    assert (path.read_bytes() == before) == (not carried_up)


def test_what_the_runs_said_is_there_to_the_last_bit(path):
    with closing(sqlite3.connect(path)) as database:
        query = """SELECT p.run_id, p.uid, x_px, y_px, category, confidence, mask FROM prediction p
            LEFT JOIN prediction_mask m ON m.run_id = p.run_id AND m.uid = p.uid
            ORDER BY p.run_id, p.position"""
        rows = database.execute(query).fetchall()
        hidden = set(database.execute("SELECT run_id, uid FROM hidden_prediction"))
    with opened(path) as project:
        (image,) = project.images()
        runs = sorted(project.predictions(image.sha256), key=lambda run: run.run_id)
        project.append([events.comment(image.sha256, "opened")])
        assert project.verify() == 16
    assert [
        (run.run_id, str(n.uid), n.x_px, n.y_px, n.category, n.confidence, n.mask)
        for run in runs
        for n in run.nuclei
    ] == [(*row[:6], row[6] and Mask.from_json(json.loads(row[6]))) for row in rows]
    assert {(run.run_id, str(uid)) for run in runs for uid in run.hidden} == hidden
    assert sorted(len(run.nuclei) for run in runs) == [0, 12, 40]


def test_it_is_kept_beside_as_it_was_and_that_is_told_once(path):
    with opened(path) as project:
        copy = path.with_name("p.nunext.version-1")
        assert project.copy_of_before == copy
        assert at_opening(project).words == (
            "p.nunext was written by an earlier version of napari-nunext, and is now in the form "
            "of this one. As it was, it is kept beside it: p.nunext.version-1."
        )
    assert (tables(path), tables(copy)) == (set(), OLD_TABLES)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA freelist_count").fetchone() == (0,)  # no room kept
    with opened(path) as project:
        assert project.copy_of_before is None
        assert at_opening(project) is None
    # Brought back, it is carried up again, and no copy is lost.
    path.write_bytes(copy.read_bytes())
    with opened(path) as project:
        assert project.copy_of_before == path.with_name("p.nunext.version-1-2")


def test_it_has_the_tables_of_a_new_project(path, tmp_path):
    def schema(file):
        with closing(sqlite3.connect(file)) as database:
            named = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
            return {n: database.execute(f"PRAGMA table_info({n})").fetchall() for n in named}

    opened(path).close()
    Project.open(tmp_path / "new.nunext", annotator="jd").close()
    assert schema(path) == schema(tmp_path / "new.nunext")


KILLED = """
import os, sys
from napari_nunext.store import Project
from napari_nunext.store.tables.windows import Windows
done = Windows.add_unplaced
def die_at_the_second(self, nuclei):
    done(self, nuclei)
    if self._run == 2:
        os.kill(os.getpid(), 9)
Windows.add_unplaced = die_at_the_second
Project.open(sys.argv[1], annotator="jd")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process the POSIX way")
def test_a_killed_migration_leaves_the_old_project(path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -9
    assert tables(path) == OLD_TABLES
    with opened(path) as project:
        (image,) = project.images()
        assert len(project.state(image.sha256).nuclei) == 35
    assert tables(path) == set()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE prediction SET x_px = 'false' WHERE position = 11",
        "UPDATE prediction SET y_px = 9e999 WHERE position = 3",
        "UPDATE prediction SET uid = 'x' WHERE position = 11",
        "UPDATE prediction SET confidence = 2 WHERE position = 3",
        "UPDATE prediction_mask SET mask = '[]'",
        "UPDATE hidden_prediction SET uid = uid || 'x'",
    ],
)
@pytest.mark.parametrize("mode", ["rw", "r"])
def test_what_is_damaged_stays_as_it_is(path, damage, mode):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"p\.nunext is damaged .*Restore it from a copy"):
            opened(path, mode)
    assert tables(path) == OLD_TABLES
    assert not path.with_name("p.nunext.version-1").exists()
