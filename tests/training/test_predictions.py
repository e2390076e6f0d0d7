from __future__ import annotations

import gzip
import json

import pytest

from napari_nunext.core.errors import RecordError
from nunext_training.evaluation.evaluate import evaluate_predictions
from nunext_training.evaluation.predictions import prediction_files


def test_files_are_found_by_stems_that_keep_their_dots(tmp_path):
    for name in ("A_0.9824.geojson", "b.json", ".hidden.geojson", "notes.txt"):
        (tmp_path / name).write_text("[]")
    assert sorted(prediction_files(tmp_path)) == ["A_0.9824", "b"]


def test_two_files_of_one_stem_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(RecordError, match="holds no GeoJSON"):
        prediction_files(tmp_path)
    (tmp_path / "a.json").touch()
    (tmp_path / "a.geojson").touch()
    with pytest.raises(RecordError, match="keep one"):
        prediction_files(tmp_path)


def cellvit_geojson(places):
    parts = [[[[x, y], [x + 8, y], [x + 8, y + 8], [x, y + 8], [x, y]]] for x, y in places]
    feature = {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": parts},
        "properties": {"objectType": "annotation", "classification": {"name": "Round"}},
    }
    return json.dumps([feature])


def test_perfect_predictions_of_cellvit_score_1(tmp_path, labelled_tile):
    places = [(4, 4), (20, 4), (40, 40)]
    tile = labelled_tile(tmp_path, "a", [(x + 4, y + 4) for x, y in places])
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "a.geojson.gz").write_bytes(gzip.compress(cellvit_geojson(places).encode()))
    evaluation = evaluate_predictions(
        prediction_files(folder), [tile], radius_um=3.0, method="gated", data={}
    )
    assert evaluation.report.overall.f1 == 1
    assert "a.geojson.gz: read 1 outlines of several parts as 3 nuclei." in evaluation.table()
