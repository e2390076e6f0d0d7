"""Projects that were damaged: read, or an error that says so, whatever was hurt."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress

import pytest

from benchmarks.fuzzing import samples
from napari_nunext import cli
from napari_nunext.core.errors import NunextError, StoreError
from napari_nunext.core.process.options import BAD_INPUT
from napari_nunext.store import Project

HURT = {
    "payload of another type": "UPDATE event SET payload = '[1, 2]'",
    "payload that is a number": "UPDATE event SET payload = 3",
    "payload that is no JSON": "UPDATE event SET payload = '{' WHERE seq = 3",
    "payload that is deep": "UPDATE event SET payload = '" + "[" * 100_000 + "'",
    "payload of bytes": "UPDATE event SET payload = x'ff00'",
    "place of text": "UPDATE prediction SET x_px = 'false'",
    "place that is infinite": "UPDATE prediction SET y_px = 9e999",
    "uid that is none": "UPDATE prediction SET uid = 'x' WHERE position = 1",
    "mask of a list": "UPDATE prediction_mask SET mask = '[]'",
    "mask that is cut off": "UPDATE prediction_mask SET mask = substr(mask, 1, 20)",
    "mask of absurd size": """UPDATE prediction_mask SET mask =
        '{"offset": [0, 0], "size": [1000000, 1000000], "counts": [1000000000000]}'""",
    "run that is cut off": "UPDATE run SET info = '{'",
    "run without region": "UPDATE run SET info = '{}'",
    "run at no time": "UPDATE run SET started_utc = 'noon'",
    "image of text width": "UPDATE image SET width_px = 'wide'",
    "image without hash": "UPDATE image SET sha256 = ''",
    "project without uid": "UPDATE project SET uid = 'x'",
}


def look(path):
    """All that reading a project takes."""
    with Project.open(path, annotator="jd", mode="r", create=False) as project:
        project.verify()
        project.categories()
        project.gestures()
        for entry in project.images():
            project.state(entry.sha256)


def test_the_sample_is_sound(tmp_path):
    path = tmp_path / "p.nunext"
    path.write_bytes(samples.project())
    look(path)


@pytest.mark.parametrize("statement", HURT.values(), ids=HURT)
def test_values_of_another_kind_are_an_error_that_says_so(statement, tmp_path, capsys):
    path = tmp_path / "p.nunext"
    path.write_bytes(samples.project())
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)
        database.commit()
    with pytest.raises(StoreError):
        look(path)
    # A journal that does not verify is told, and the rest can be had; what cannot be read cannot.
    code = cli.main(["export", str(path), "--out", str(tmp_path / "out"), "--format", "csv"])
    said = capsys.readouterr()
    assert code == BAD_INPUT
    assert said.err.count("\n") == 1
    assert "p.nunext" in said.err or "journal" in said.err


def test_bytes_that_were_flipped_are_read_or_refused(tmp_path):
    rng, sound = random.Random(5), samples.project()
    path = tmp_path / "p.nunext"
    for _ in range(60):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 5, 50))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with suppress(NunextError):
            look(path)


def test_a_folder_without_a_name_is_no_project():
    with pytest.raises(StoreError, match="is a folder"):
        look("/")
