from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from nunext_training.predictions import prediction_files, read_predictions


def feature(kind, coordinates, classification=None):
    properties = {} if classification is None else {"classification": classification}
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }


def write(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_points_keep_order_place_and_category(tmp_path):
    path = write(
        tmp_path / "a.geojson",
        feature("Point", [3.5, 4.25], {"name": "Stromal", "color": [1, 2, 3]}),
        feature("MultiPoint", [[1, 2], [5, 6]], "Tumour"),
        feature("Point", [9, 8]),
    )
    predicted = read_predictions(path)
    np.testing.assert_array_equal(predicted.points_xy, [[3.5, 4.25], [1, 2], [5, 6], [9, 8]])
    assert predicted.categories == ("Stromal", "Tumour", "Tumour", "Nucleus")


def test_a_polygon_is_the_centroid_of_its_area(tmp_path):
    # An L of three unit squares at (10, 20): centroid of areas, not of vertices.
    ring = [[10, 20], [12, 20], [12, 21], [11, 21], [11, 22], [10, 22], [10, 20]]
    path = write(tmp_path / "a.geojson", feature("Polygon", [ring]))
    expected = [10 + (0.5 + 1.5 + 0.5) / 3, 20 + (0.5 + 0.5 + 1.5) / 3]
    np.testing.assert_allclose(read_predictions(path).points_xy, [expected])


def test_a_multipolygon_is_its_largest_part(tmp_path):
    small = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    large = [[10, 10], [14, 10], [14, 14], [10, 14], [10, 10]]
    path = write(tmp_path / "a.geojson", feature("MultiPolygon", [[small], [large]]))
    np.testing.assert_allclose(read_predictions(path).points_xy, [[12, 12]])


def test_names_of_a_derived_class_are_joined_as_qupath_shows_them(tmp_path):
    path = write(
        tmp_path / "a.geojson",
        feature("Point", [1, 1], {"names": ["Tumor", "Positive"], "color": [1, 1, 1]}),
    )
    assert read_predictions(path).categories == ("Tumor: Positive",)


def test_a_file_without_nuclei_is_empty(tmp_path):
    assert read_predictions(write(tmp_path / "a.geojson")).points_xy.shape == (0, 2)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        '{"type": "FeatureCollection"}',
        '{"features": [{"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}]}',
        '{"features": [{"geometry": {"type": "Point", "coordinates": [1]}}]}',
        '{"features": [{"geometry": null}]}',
    ],
)
def test_a_bad_file_is_named(tmp_path, text):
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"bad\.geojson is not GeoJSON"):
        read_predictions(path)


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
