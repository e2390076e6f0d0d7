from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.points import (
    MOST_NUCLEI,
    NUCLEUS_INSTRUCTION,
    nuclei_of_picture,
    nuclei_text,
    points_text,
)
from napari_nunext.core.errors import MALFORMED, InputError, RecordError
from napari_nunext.core.formats.answer_records import AnswerSftRecord, message
from napari_nunext.core.formats.json_lines import read_jsonl, write_jsonl
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
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.shapes.masks import Mask

SOURCE = Source(
    image_sha256="ab" * 32,
    region=Box(10, 20, 110, 120),
    mpp=0.5,
    mpp_source="user",
    split="train",
    patient="p-1",
    annotators=("é.w.",),
    model=ModelDescription("Classical", "classical", kind="detector", id="classical"),
    run={"decoding": {"threshold": 0.1}},
)
NUCLEI = (
    RecordNucleus(1.5, 2.25, "Tumour", "u-1", Mask.from_array(np.ones((2, 3), dtype=bool), 1, 1)),
    RecordNucleus(40.0, 2.0, "Lymphocyte"),
)
PROMPT = (user_message(NUCLEUS_INSTRUCTION),)
REPLY = (assistant_message("[1, 2], [40, 2]"),)
SFT = SftRecord("r-1", ("images/a.png",), (*PROMPT, *REPLY), NUCLEI, SOURCE)
RFT = RftRecord(
    "r-1",
    "nuclei",
    ("images/a.png",),
    PROMPT,
    NUCLEI,
    SOURCE,
    Rollout((JudgedPoint(1.0, 2.0, "Tumour", 0.5, "tp"),), missed=1, rating=0.75),
)
PREFERENCE = PreferenceRecord(
    "r-1", ("images/a.png",), PROMPT, REPLY, (assistant_message(""),), SOURCE
)


@pytest.mark.parametrize("record", [SFT, RFT, PREFERENCE])
def test_a_record_survives_its_file(record, tmp_path):
    path = tmp_path / "records.jsonl"
    assert write_jsonl(path, [record, record]) == 2
    assert list(read_jsonl(path, type(record).from_json)) == [(1, record), (2, record)]


@pytest.mark.parametrize("rating", [0.0, 0.5, 1.0, None])
def test_a_rating_from_end_to_end_of_its_range_survives(rating):
    rollout = replace(RFT.rollout, rating=rating)
    assert Rollout.from_json(json.loads(json.dumps(rollout.to_json()))).rating == rating


def test_the_tissue_is_written_where_it_is_known():
    known = replace(SOURCE, tissue="breast")
    assert "tissue" not in SOURCE.to_json()
    assert (known.to_json()["tissue"], Source.from_json(known.to_json())) == ("breast", known)


def test_messages_are_conversational_as_trl_reads_them():
    data = SFT.to_json()
    assert [m["role"] for m in data["messages"]] == ["user", "assistant"]
    assert data["messages"][0]["content"][0] == {"type": "image"}
    assert data["images"] == ["images/a.png"]


def damaged(record, **changes):
    data = json.loads(json.dumps(record.to_json()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = data
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return data


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (SftRecord, {"nuclei": None}, "nuclei"),
        (SftRecord, {"source__split": "holdout"}, "holdout"),
        (SftRecord, {"source__mpp": 0}, "um/px"),
        (SftRecord, {"images": ["a", "b"]}, "2 images"),
        (SftRecord, {"images": []}, "0 images"),
        (SftRecord, {"source__region": [5, 5, 1, 1]}, "inside out"),
        (RftRecord, {"rollout__rating": 3}, "rating"),
        (RftRecord, {"rollout__rating": -0.01}, "rating"),
        (RftRecord, {"rollout__rating": math.nan}, "rating"),
        (RftRecord, {"task": "juggling"}, "juggling"),
        (RftRecord, {"task": "a"}, "'a' is unknown"),
        (RftRecord, {"task": "zebra"}, "zebra"),
    ],
)
def test_a_damaged_record_is_named_with_file_and_line(kind, changes, message, tmp_path):
    good = SFT if kind is SftRecord else RFT
    path = tmp_path / "some.jsonl"
    lines = [json.dumps(good.to_json()), "", json.dumps(damaged(good, **changes))]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"some\.jsonl line 3: .*{message}"):
        list(read_jsonl(path, kind.from_json))


def test_a_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"id": ', encoding="utf-8")
    with pytest.raises(RecordError, match=r"some\.jsonl line 1"):
        list(read_jsonl(path, SftRecord.from_json))


def test_the_manifest_survives_and_refuses_a_foreign_schema():
    manifest = Manifest(
        created_utc="2026-01-01T00:00:00Z",
        software="0.1",
        counts={"sft": 1},
        categories=({"name": "Tumour", "color": [1, 2, 3]},),
        filters={},
        split_seed=0,
        files={"sft.jsonl": "00"},
    )
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    with pytest.raises(RecordError, match="schema 9"):
        Manifest.from_json(manifest.to_json() | {"schema": 9})
    with pytest.raises(RecordError, match="counts"):
        Manifest.from_json({k: v for k, v in manifest.to_json().items() if k != "counts"})


def test_points_in_words_are_whole_pixels_in_raster_order():
    assert points_text(np.array([[9.9, 3.2], [1.0, 3.9], [4.0, 0.0]])) == "[4, 0], [1, 3], [9, 3]"
    assert points_text(np.empty((0, 2))) == ""


def test_nuclei_before_a_question_stand_in_raster_order_with_their_categories():
    said = nuclei_text(np.array([[9.9, 3.2], [1.0, 3.9], [4.0, 0.0]]), ["a", "b; c", "a\nd"])
    assert said == "Nuclei (x y category): 4 0 a d; 1 3 b, c; 9 3 a;"
    assert nuclei_text(np.empty((0, 2)), []) == "Nuclei (x y category): none;"


def test_nuclei_that_no_prompt_can_name_are_refused_in_words():
    too_many = np.zeros((MOST_NUCLEI + 1, 2))
    with pytest.raises(InputError, match=f"reads {MOST_NUCLEI} or fewer. Ask about a smaller"):
        nuclei_text(too_many, ["a"] * len(too_many))
    with pytest.raises(InputError, match="2 nuclei have 1 categories"):
        nuclei_text(np.zeros((2, 2)), ["a"])
    with pytest.raises(InputError, match=r"101 characters.*shorter name"):
        nuclei_text(np.zeros((1, 2)), ["a" * 101])


def test_an_answerer_reads_the_nuclei_of_its_picture_in_pixels_of_it():
    sent = SentPicture(Box(100, 200, 300, 300), 56, 28)  # 0.28 px for each of level 0
    points_xy = np.array([[100, 200], [300, 250], [299.999999999999, 250], [200, 225], [99, 250]])
    said = nuclei_of_picture(sent, points_xy, ["a", "beyond", "b", "c", "beyond"])
    assert said == "Nuclei (x y category): 0 0 a; 28 7 c; 55 14 b;"
    assert nuclei_of_picture(sent, np.empty((0, 2)), []).endswith("none;")


@given(st.data())
def test_no_nucleus_of_a_region_is_put_beside_its_picture(data):
    x0, y0 = (data.draw(st.floats(0, 1e5)) for _ in "xy")
    width, height = (data.draw(st.floats(1, 1e5)) for _ in "xy")
    region = Box(x0, y0, x0 + width, y0 + height)
    sent = SentPicture.of(region, data.draw(st.integers(1, 300)))
    corner = np.array([[np.nextafter(region.x1, 0), np.nextafter(region.y1, 0)]])
    said = nuclei_of_picture(sent, corner, ["a"])
    assert said.endswith(f": {sent.width_px - 1} {sent.height_px - 1} a;")


def answer_record(**changes):
    source = Source("ab" * 32, Box(0, 0, 60, 40), 0.5, "user", "train", "p1")
    return AnswerSftRecord(
        id="a",
        task="question",
        images=("images/a.png",),
        prompt=(message("user", "How many?"),),
        completion=(message("assistant", "<think></think><answer>2</answer>"),),
        source=source,
        **changes,
    )


def test_nuclei_of_an_answer_are_read_as_they_were_written_and_are_absent_where_unknown():
    found = ((1.5, 2.0, "Lymphocyte"), (3.0, 4.25, "Stromal"))
    line = answer_record(nuclei=found).to_json()
    assert line["nuclei"] == [[1.5, 2.0, "Lymphocyte"], [3.0, 4.25, "Stromal"]]
    assert AnswerSftRecord.from_json(line).nuclei == found
    assert AnswerSftRecord.from_json(answer_record(nuclei=()).to_json()).nuclei == ()
    unknown = answer_record().to_json()
    assert "nuclei" not in unknown
    assert AnswerSftRecord.from_json(unknown).nuclei is None


@pytest.mark.parametrize("nuclei", [[[1, 2]], [["a", 2, "b"]], [[math.nan, 2, "b"]], 3])
def test_nuclei_of_an_answer_without_a_place_are_refused(nuclei):
    with pytest.raises(MALFORMED):
        AnswerSftRecord.from_json(answer_record().to_json() | {"nuclei": nuclei})
