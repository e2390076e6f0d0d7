from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import replace

import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.export_folder import png_size, read_export
from napari_nunext.core.formats.json_lines import write_jsonl
from napari_nunext.core.formats.records import (
    JudgedPoint,
    Manifest,
    PreferenceRecord,
    RecordNucleus,
    RftRecord,
    Rollout,
    SftRecord,
    Source,
    assistant_message,
    user_message,
)
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256

IMAGE = "images/a.png"
SOURCE = Source("ab" * 32, Box(0, 0, 10, 8), 0.5, "file", "train", "p-1")
PROMPT = (user_message("Find nuclei."),)
REPLY = (assistant_message("[1, 2]"),)


def sft(record_id: str = "r", image: str = IMAGE, *nuclei: RecordNucleus) -> SftRecord:
    nuclei = nuclei or (RecordNucleus(1.5, 2.5, "Tumour"),)
    return SftRecord(record_id, (image,), (*PROMPT, *REPLY), nuclei, SOURCE)


def rft(point: JudgedPoint | None = None) -> RftRecord:
    rollout = Rollout((point or JudgedPoint(1, 2, "Any", 0.5, "tp"),), missed=0)
    nuclei = (RecordNucleus(1.5, 2.5, "Tumour"),)
    return RftRecord("r", "nuclei", (IMAGE,), PROMPT, nuclei, SOURCE, rollout)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + b"\x80\x40\x20" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "export"
    (folder / "images").mkdir(parents=True)
    (folder / IMAGE).write_bytes(png(10, 8))
    write_jsonl(folder / "sft.jsonl", [sft()])
    write_jsonl(folder / "rft.jsonl", [rft()])
    write_jsonl(
        folder / "preferences.jsonl",
        [PreferenceRecord("r", (IMAGE,), PROMPT, REPLY, (assistant_message(""),), SOURCE)],
    )
    seal(folder)
    return folder


def seal(folder, **changes):
    files = {
        p.relative_to(folder).as_posix(): file_sha256(p)
        for p in folder.rglob("*")
        if p.is_file() and p.name != "manifest.json"
    }
    manifest = Manifest(
        created_utc="2024-01-01T00:00:00+00:00",
        software="napari-nunext",
        counts={},
        categories=({"name": "Tumour", "color": [1, 2, 3]},),
        filters={},
        split_seed=0,
        files=files,
    )
    (folder / "manifest.json").write_text(json.dumps(replace(manifest, **changes).to_json()))


def test_a_sound_export_is_read_whole(folder):
    export = read_export(folder)
    assert export.sft == (sft(),)
    assert export.rft == (rft(),)
    assert len(export.preferences) == 1
    assert export.problems == ()
    assert export.image_path(export.sft[0]) == folder / IMAGE


def test_a_file_that_the_export_never_had_is_no_problem(folder):
    (folder / "preferences.jsonl").unlink()
    (folder / "rft.jsonl").unlink()
    seal(folder)
    export = read_export(folder)
    assert (export.rft, export.preferences) == ((), ())


def write_sft(folder, *records):
    write_jsonl(folder / "sft.jsonl", records)
    seal(folder)


def append_line(folder, line: str):
    with (folder / "sft.jsonl").open("a") as file:
        file.write(line + "\n")
    seal(folder)


def drop_from_manifest(folder):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    del data["files"]["preferences.jsonl"]
    path.write_text(json.dumps(data))


def outside(**place):
    return replace(RecordNucleus(1, 1, "Tumour"), **place)


BREAKAGES = {
    "a changed image": (
        lambda f: (f / IMAGE).write_bytes(png(10, 9)),
        "images/a.png was changed",
        0,
    ),
    "a missing image": (lambda f: (f / IMAGE).unlink(), "images/a.png is missing", 0),
    "a changed file": (
        lambda f: (f / "sft.jsonl").write_text((f / "sft.jsonl").read_text() + "\n"),
        "sft.jsonl was changed",
        1,
    ),
    "an added file": (drop_from_manifest, "preferences.jsonl is not in manifest.json", 1),
    "an image beyond the manifest": (
        lambda f: write_sft(f, sft(), sft("s", "images/b.png")),
        r"sft.jsonl line 2: its image images/b.png is missing",
        1,
    ),
    "an image outside the folder": (
        lambda f: write_sft(f, sft(), sft("s", "../a.png")),
        r"sft.jsonl line 2: its image ../a.png",
        1,
    ),
    "a point right of the image": (
        lambda f: write_sft(f, sft(), sft("s", IMAGE, outside(x=10.0))),
        r"sft.jsonl line 2: 1 points lie outside images/a.png \(10 x 8 px\), the first at \(10, 1",
        1,
    ),
    "a point above the image": (
        lambda f: write_sft(f, sft(), sft("s", IMAGE, outside(y=-0.1))),
        "line 2: 1 points lie outside",
        1,
    ),
    "a point that is no number": (
        lambda f: append_line(f, json.dumps(sft("s").to_json()).replace("1.5", "NaN")),
        "line 2: 1 points lie outside",
        1,
    ),
    "an unknown category": (
        lambda f: write_sft(f, sft(), sft("s", IMAGE, outside(category="Alien"))),
        "line 2: category Alien is not in manifest.json; it knows Tumour",
        1,
    ),
    "a record twice": (lambda f: write_sft(f, sft(), sft()), "line 2: record r stands twice", 1),
    "half a line": (lambda f: append_line(f, '{"id": "s"'), "sft.jsonl line 2: is not a record", 1),
    "a line that is no record": (lambda f: append_line(f, "[1]"), "line 2: is not a record", 1),
    "a record without nuclei": (
        lambda f: append_line(f, json.dumps({"id": "s", "images": [IMAGE], "messages": []})),
        "sft.jsonl line 2: misses 'nuclei'",
        1,
    ),
}


@pytest.mark.parametrize(("breakage", "says", "left"), BREAKAGES.values(), ids=BREAKAGES)
def test_what_does_not_hold_is_named_with_its_file_and_line(folder, breakage, says, left):
    breakage(folder)
    with pytest.raises(RecordError, match=says):
        read_export(folder)
    tolerant = read_export(folder, strict=False)
    assert len(tolerant.sft) == left
    assert tolerant.problems
    assert any(re.search(says, problem) for problem in tolerant.problems)


def test_a_judged_point_outside_the_image_is_found(folder):
    write_jsonl(folder / "rft.jsonl", [rft(JudgedPoint(1, 8, "Any", 0.5, "fp"))])
    seal(folder)
    with pytest.raises(RecordError, match=r"rft.jsonl line 1: 1 points lie outside"):
        read_export(folder)


@pytest.mark.parametrize("name", ["/etc/hosts", "../x", "images/../../x", "C:\\x", ""])
def test_a_manifest_cannot_point_outside_its_folder(folder, name):
    seal(folder, files={name: "00"})
    with pytest.raises(RecordError, match="outside the export"):
        read_export(folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "is not an export"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "malformed"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_bad_manifest_always_stops(folder, text, says, strict):
    path = folder / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(RecordError, match=says):
        read_export(folder, strict=strict)


def test_categories_without_names_stop(folder):
    seal(folder, categories=({"color": [1, 2, 3]},))
    with pytest.raises(RecordError, match="have no names"):
        read_export(folder)


def test_the_size_of_a_png_is_in_its_header(tmp_path):
    (tmp_path / "a.png").write_bytes(png(7, 3)[:24])
    assert png_size(tmp_path / "a.png") == (7, 3)
    (tmp_path / "b.png").write_bytes(b"\xff\xd8\xff" + bytes(30))
    with pytest.raises(RecordError, match="is not a PNG"):
        png_size(tmp_path / "b.png")
