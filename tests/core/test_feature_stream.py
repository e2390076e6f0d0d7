"""Large GeoJSON is read feature by feature, and holds what it holds when it is read as a whole."""

from __future__ import annotations

import gzip
import io
import json
import random
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats import feature_stream, geojson
from napari_nunext.core.formats.feature_stream import OtherJsonError, features_in
from napari_nunext.core.formats.geojson import read_noted_geojson
from napari_nunext.core.formats.json_text import parse_json

UID = str(UUID(int=7))


def point(x, y=1, **properties):
    return {
        "type": "Feature",
        "id": UID,
        "geometry": {"type": "Point", "coordinates": [x, y]},
        "properties": properties,
    }


def square(x, y, side, **properties):
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


FEATURES = [
    point(1.5, objectType="detection", classification={"name": "Tumour"}),
    point(2, metadata={"review": "rejected", "of": ["a list"]}, measurements={"x": "NaN"}),
    square(0, 0, 90, classification="Region"),
    square(3, 3, 4, objectType="cell", metadata={"review": "accepted"}),
    square(20, 20, 5, classification={"names": ["A", "B"]}),
    square(60, 60, 5, objectType="annotation", childObjects=[point(61, 62), point(63, 64)]),
    {"geometry": None},
    {"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}},
]
COLLECTION = json.dumps({"type": "FeatureCollection", "name": "é", "features": FEATURES})

GOOD = {
    "collection": COLLECTION,
    "list": json.dumps(FEATURES),
    "spaced": json.dumps({"a": {"features": [1]}, "features": FEATURES, "b": []}, indent=3),
    "none": '{"features": []}',
    "emptylist": "[]",
    "half a character": json.dumps([point(1, classification="a\ud800b"), point(2)]),
    "escaped": json.dumps([point(1, classification="\U0001f52c"), point(2)]),
    "one feature": json.dumps(point(4)),
    "of HoVer-Net": '{"nuc": {"1": {"centroid": [3, 4], "type": 2}}, "mag": 40}',
    "of both": json.dumps({"features": FEATURES, "cells": [{"centroid": [5, 6], "type": 1}]}),
    "twice": f'{{"features": [{json.dumps(point(9))}], "features": [{json.dumps(point(3))}]}}',
    "results of COCO": '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]',
}
BAD = {
    "features that are none": '{"features": 3, "type": "Feature", "geometry": null}',
    "cut off": COLLECTION[:-2],
    "cut off in a feature": COLLECTION[:300],
    "more behind": COLLECTION + " {}",
    "no comma": f'{{"features": [{json.dumps(point(1))} 2]}}',
    "no colon": '{"features" []}',
    "no name": "{3: 4}",
    "no feature": json.dumps({"features": [point(1), 3]}),
    "no number": '{"features": [{"geometry": {"type": "Point", "coordinates": [1, NaN]}}]}',
    "no geometry": '{"features": [{"geometry": null}]}',
    "deep": '{"features": [' + "[" * 100_000,
    "unknown status": json.dumps([point(1, objectType="cell", metadata={"review": "perhaps"})]),
    "nothing": "",
    "no JSON": "nuclei",
}


def outcome(path):
    """What reading gives, apart from uids that are made up; or why it gives nothing."""
    try:
        read = read_noted_geojson(path, masks=True)
    except RecordError as error:
        return str(error).partition("(")[0]
    nuclei = [
        (n.nucleus.uid if n.identified else None, replace(n.nucleus, uid=UUID(int=0)), n.marks)
        for n in read.nuclei
    ]
    return nuclei, read.notes, read.tool


@pytest.fixture
def streamed(monkeypatch):
    """Reading as if every file were a large one, of which a few characters are read at a time."""

    def read(path, step):
        with monkeypatch.context() as patch:
            patch.setattr(geojson, "LARGE_BYTES", 0)
            patch.setattr(feature_stream, "STEP", step)
            return outcome(path)

    return read


@pytest.mark.parametrize("name", [*GOOD, *BAD])
@pytest.mark.parametrize("step", [1, 37, 10_000])
def test_a_file_holds_the_same_read_feature_by_feature(tmp_path, streamed, name, step):
    path = tmp_path / "a.geojson"
    path.write_text((GOOD | BAD)[name], encoding="utf-8-sig" if step == 37 else "utf-8")
    want = outcome(path)
    assert isinstance(want, str) == (name in BAD or name == "results of COCO")
    assert streamed(path, step) == want


def test_a_packed_file_is_read_so_too_and_a_damaged_one_is_said(tmp_path, streamed):
    path = tmp_path / "a.geojson.gz"
    path.write_bytes(gzip.compress(COLLECTION.encode()))
    assert streamed(path, 50) == outcome(path)
    path.write_bytes(gzip.compress(random.Random(0).randbytes(2000).hex().encode())[:-400])
    assert "is damaged: gzip cannot open it" in streamed(path, 50)


def test_no_feature_is_read_before_somebody_asks_for_it():
    """A million of them would not fit into the memory at once."""

    class Endless(io.StringIO):
        def read(self, size=-1):
            return super().read() or json.dumps(point(2)) + ","

    features = features_in(Endless('{"features": ['))
    assert [next(features)["geometry"]["coordinates"][0] for _ in range(50)] == [2] * 50


@pytest.mark.parametrize("number", ["0.5", "-12.25", "1e-7", "2.5E+10", "-0", "3"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_number_that_is_cut_anywhere_is_read_whole(monkeypatch, number, step):
    monkeypatch.setattr(feature_stream, "STEP", step)
    text = f'[{number}, [{number}], {{"a": {number}}}]'
    assert list(features_in(io.StringIO(text))) == json.loads(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=12,
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
)
def test_whatever_json_is_read_as_the_library_reads_it(data, step, indent):
    text = json.dumps({"type": "x", "features": [data, data]}, indent=indent)
    before, feature_stream.STEP = feature_stream.STEP, step
    try:
        assert list(features_in(io.StringIO(text))) == parse_json(text)["features"]
        with pytest.raises(OtherJsonError):
            list(features_in(io.StringIO(json.dumps({"type": data}))))
    finally:
        feature_stream.STEP = before
