"""Projects that were damaged: read, or an error that says so, whatever was hurt."""

from __future__ import annotations

import math
import random
import sqlite3
import struct
from contextlib import closing, suppress

import pytest

from benchmarks.fuzzing import samples
from napari_nunext import cli
from napari_nunext.core.errors import NunextError, StoreError
from napari_nunext.core.process.options import BAD_INPUT
from napari_nunext.store import Project


def ending(column: str, value: float) -> str:
    """A column of numbers with another last one, in SQL."""
    there = f"substr({column}, 1, length({column}) - 8)"
    return f"CAST({there} || x'{struct.pack('<d', value).hex()}' AS BLOB)"


HURT = {
    "payload of another type": "UPDATE event SET payload = '[1, 2]'",
    "payload that is a number": "UPDATE event SET payload = 3",
    "payload that is no JSON": "UPDATE event SET payload = '{' WHERE seq = 3",
    "payload that is deep": "UPDATE event SET payload = '" + "[" * 100_000 + "'",
    "payload of bytes": "UPDATE event SET payload = x'ff00'",
    "place of text": "UPDATE run_window SET xy = 'false'",
    "places that are cut off": "UPDATE run_window SET xy = substr(xy, 1, 9) WHERE n > 0",
    "places that are too many": "UPDATE run_window SET xy = zeroblob(16) WHERE n = 0",
    "place that is infinite": f"UPDATE run_window SET xy = {ending('xy', math.inf)} WHERE n > 0",
    "place that is no number": f"UPDATE run_window SET xy = {ending('xy', math.nan)} WHERE n > 0",
    "confidence of two": f"UPDATE run_window SET confidence = {ending('confidence', 2)} WHERE n",
    "confidences of nobody": "UPDATE run_window SET confidence = zeroblob(0)",
    "category out of range": "UPDATE run_window SET category = x'01000000' WHERE number IS NULL",
    "categories that are cut off": "UPDATE run_window SET category = substr(category, 2) WHERE n",
    "categories of numbers": "UPDATE run_window SET names = '[1]'",
    "categories in text": "UPDATE run_window SET names = '\"ab\"'",
    "no categories": "UPDATE run_window SET names = '[]'",
    "count of text": "UPDATE run_window SET n = 'two'",
    "count that is negative": "UPDATE run_window SET n = -n - 1",
    "count that is large": f"UPDATE run_window SET n = n + {2**62}",
    "window that is none": "UPDATE run_window SET number = -1 WHERE number = 7",
    "window that is too far": f"UPDATE run_window SET number = {2**32} WHERE number = 7",
    "window without a number": "UPDATE run_window SET number = NULL",
    "uids that are cut off": "UPDATE run_window SET uids = substr(uids, 1, 17)",
    "uids that are twins": "UPDATE run_window SET uids = zeroblob(32) WHERE number IS NULL",
    "uid of none that was hidden": "UPDATE run_hidden SET uids = substr(uids, 1, 15)",
    "neither hidden nor standing": "UPDATE run_hidden SET stand = 'x'",
    "masks of text": "UPDATE window_masks SET masks = '[]'",
    "masks that are cut off": "UPDATE window_masks SET masks = substr(masks, 1, 20)",
    "masks of other nuclei": "UPDATE window_masks SET places = x'01000000'",
    "masks of nuclei that are none": "UPDATE window_masks SET places = x'03000000'",
    "masks of half a place": "UPDATE window_masks SET places = x'0000'",
    "masks that nobody summed": "UPDATE window_masks SET crc32 = 'x'",
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
