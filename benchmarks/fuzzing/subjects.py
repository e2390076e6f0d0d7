"""What is fuzzed: how an input is made, and what is done with it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.fuzzing import mutations, samples
from benchmarks.fuzzing.command_lines import make_command, run_command
from napari_nunext.core.formats.json_lines import read_jsonl
from napari_nunext.core.formats.records import PreferenceRecord, RftRecord, SftRecord
from napari_nunext.images import open_tile
from napari_nunext.images.nuclei_files import read_nuclei

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is read.

    Parameters
    ----------
    name : str
    suffix : str
        Of the files.
    make : callable
        The content of an input, by a generator that is seeded for it.
    read : callable
        Does with a file what the program does with it.
    """

    name: str
    suffix: str
    make: Callable[[random.Random], bytes]
    read: Callable[[Path], None]


def _decode(path: Path) -> None:
    image = open_tile(path)
    assert image.rgb.shape == (image.height_px, image.width_px, 3)
    assert len(image.id) == 64


def _nuclei(path: Path) -> None:
    for part in read_nuclei(path):
        for marked in part.nuclei:
            nucleus = marked.nucleus
            assert np.isfinite((nucleus.x_px, nucleus.y_px)).all()
            (nucleus.category + part.image).encode()  # it is shown, stored and written


def _png(rng: random.Random) -> bytes:
    sample = rng.choice(samples.pngs())
    return rng.choice((mutations.damaged_png, mutations.damaged_bytes))(rng, sample)


def _jpeg(rng: random.Random) -> bytes:
    return mutations.damaged_bytes(rng, rng.choice(samples.jpegs()))


def _tiff(rng: random.Random) -> bytes:
    sample = rng.choice(samples.tiffs())
    return rng.choice((mutations.damaged_tiff, mutations.damaged_bytes))(rng, sample)


def _json_of(values: Callable[[], tuple[Any, ...]]) -> Callable[[random.Random], bytes]:
    def make(rng: random.Random) -> bytes:
        return mutations.json_text(rng, mutations.damaged_value(rng, rng.choice(values())))

    return make


def _table(rng: random.Random) -> bytes:
    rows = [list(row) for row in samples.TABLE]
    for _ in range(rng.choice((1, 2, 4))):
        row = rng.choice(rows)
        match rng.randrange(4):
            case 0 if row:
                row.pop(rng.randrange(len(row)))
            case 1:
                row.append(str(rng.choice(mutations.NASTY[:-8])))
            case _ if row:
                row[rng.randrange(len(row))] = str(rng.choice(mutations.NASTY[:-8]))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    data = text.getvalue().encode("utf-8", "surrogatepass")
    return mutations.damaged_bytes(rng, data) if rng.random() < 0.4 else data


def _npy(rng: random.Random) -> bytes:
    return mutations.damaged_bytes(rng, rng.choice(samples.arrays()))


def _rois(rng: random.Random) -> bytes:
    """A zip of ROIs, of which one is damaged, or the zip."""
    rois = [rng.choice(samples.rois()) for _ in range(rng.choice((1, 2, 3)))]
    if harms_roi := rng.random() < 0.7:
        rois[0] = mutations.damaged_bytes(rng, rois[0])
    file = io.BytesIO()
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", packed) as archive:
        for i, roi in enumerate(rois):  # of a fixed time, as every input is
            archive.writestr(zipfile.ZipInfo(f"{i}.roi"), roi, packed)
    return file.getvalue() if harms_roi else mutations.damaged_bytes(rng, file.getvalue())


def _records(rng: random.Random) -> bytes:
    lines = []
    for value in rng.sample(samples.records(), rng.choice((1, 2, 3))):
        lines.append(mutations.json_text(rng, mutations.damaged_value(rng, value)))
    return b"\n".join(lines)


def _read_records(path: Path) -> None:
    from napari_nunext.core.errors import RecordError

    parsers: tuple[Callable[[dict[str, Any]], Any], ...] = (
        SftRecord.from_json,
        RftRecord.from_json,
        PreferenceRecord.from_json,
    )
    for parse in parsers:
        try:
            for _, record in read_jsonl(path, parse):
                json.dumps(record.to_json(), ensure_ascii=False).encode()
        except RecordError:
            continue


def _project_bytes(rng: random.Random) -> bytes:
    data = bytearray(samples.project())
    for _ in range(rng.choice((1, 1, 3, 10, 100))):
        # Pages begin with their header and grow from their end: there is the most to be hurt.
        at = rng.randrange(len(data) // 4096) * 4096 + rng.choice((0, rng.randrange(4096)))
        at = rng.choice((at, rng.randrange(len(data))))
        data[at] = rng.choice((data[at] ^ (1 << rng.randrange(8)), rng.randrange(256)))
    if rng.random() < 0.15:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def _project_payload(rng: random.Random) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(samples.project())
        named = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = [name for (name,) in named]
        for _ in range(rng.choice((1, 1, 2))):
            table = rng.choice([*tables, "event", "event", "run", "run_window", "window_masks"])
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]
            if not rows:
                continue
            column, row = rng.choice(columns), rng.choice(rows)
            (held,) = database.execute(
                f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)
            ).fetchone()
            database.execute("PRAGMA ignore_check_constraints = ON")
            try:
                database.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_other(rng, held), row)
                )
            except (sqlite3.Error, OverflowError, UnicodeEncodeError):
                continue
        database.commit()
        return bytes(database.serialize())


def _other(rng: random.Random, held: Any) -> Any:
    """Another value for a cell of a database."""
    if isinstance(held, str) and held[:1] in "{[":
        return mutations.json_text(rng, mutations.damaged_value(rng, json.loads(held))).decode(
            errors="replace"
        )
    value = rng.choice(mutations.NASTY)
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _read_project(path: Path) -> None:
    from napari_nunext.core.errors import NunextError
    from napari_nunext.store import Project
    from napari_nunext.store.exports.csv import write_csv

    first = None
    for mode in ("r", "rw"):
        try:
            with Project.open(path, annotator="fuzz", mode=mode, create=False) as project:
                for look in (project.verify, project.categories, project.gestures, project.origins):
                    try:
                        look()
                    except NunextError as error:
                        first = first or error
                for entry in project.images():
                    state = project.state(entry.sha256)
                    nuclei = tuple(state.nuclei.values())
                    write_csv(path.with_suffix(".csv"), nuclei, mpp=entry.mpp, image=entry.name)
        except NunextError as error:
            first = first or error
    if first is not None:
        raise first


def _command(rng: random.Random) -> bytes:
    return json.dumps(make_command(rng)).encode()


def _run_command(path: Path) -> None:
    run_command(json.loads(path.read_bytes()), path.parent)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("png", ".png", _png, _decode),
        Subject("jpeg", ".jpg", _jpeg, _decode),
        Subject("tiff", ".tif", _tiff, _decode),
        Subject("geojson", ".geojson", _json_of(samples.geojson), _nuclei),
        Subject("tool_json", ".json", _json_of(samples.tool_json), _nuclei),
        Subject("coco", ".json", _json_of(samples.coco), _nuclei),
        Subject("table", ".csv", _table, _nuclei),
        Subject("label_png", ".png", _png, _nuclei),
        Subject("label_tiff", ".tif", _tiff, _nuclei),
        Subject("label_npy", ".npy", _npy, _nuclei),
        Subject("rois", ".zip", _rois, _nuclei),
        Subject("records", ".jsonl", _records, _read_records),
        Subject("project_bytes", ".nunext", _project_bytes, _read_project),
        Subject("project_values", ".nunext", _project_payload, _read_project),
        Subject("options", ".json", _command, _run_command),
    )
}
