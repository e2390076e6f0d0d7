from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest
from skimage.draw import polygon2mask
from skimage.measure import points_in_poly

from napari_nunext.core.errors import RecordError, StoreError
from napari_nunext.core.formats.geojson import read_geojson
from napari_nunext.core.nuclei import Category, Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import ReviewedNucleus
from napari_nunext.store.exports.geojson import feature_collection, write_geojson
from napari_nunext.store.exports.outlines import polygons_of, signed_area

TUMOUR = Category("Tumour", (200, 0, 0))


def disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2


def nucleus(x: float, y: float, category: str = "Tumour", **more) -> Nucleus:
    return Nucleus(uuid4(), x, y, category, **more)


def covered(polygons, height: int, width: int) -> np.ndarray:
    """Pixels whose centre lies inside the polygons, holes taken out."""
    image = np.zeros((height, width), dtype=bool)
    for outer, *holes in polygons:
        part = polygon2mask((height, width), outer[:, ::-1] - 0.5)
        for hole in holes:
            part &= ~polygon2mask((height, width), hole[:, ::-1] - 0.5)
        image |= part
    return image


def test_a_detection_is_written_as_qupath_reads_it():
    n = nucleus(10.126, 20.0, confidence=0.83)
    reviewed = ReviewedNucleus(n, "run", touched=True, status="accepted", annotator="jd")
    collection = feature_collection([reviewed], categories=[TUMOUR], metadata={"model": "m"})
    assert collection == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": str(n.uid),
                "geometry": {"type": "Point", "coordinates": [10.13, 20.0]},
                "properties": {
                    "objectType": "detection",
                    "classification": {"name": "Tumour", "color": [200, 0, 0]},
                    "measurements": {"NuNext confidence": 0.83},
                    "metadata": {
                        "model": "m",
                        "review": "accepted",
                        "annotator": "jd",
                        "origin": "model",
                    },
                },
            }
        ],
    }


def test_every_classification_has_a_colour_even_one_the_project_does_not_know():
    collection = feature_collection(
        [nucleus(1, 1), nucleus(2, 2, "Stroma"), nucleus(3, 3, "Other")], categories=[TUMOUR]
    )
    colors = {
        f["properties"]["classification"]["name"]: tuple(f["properties"]["classification"]["color"])
        for f in collection["features"]
    }
    assert colors["Tumour"] == (200, 0, 0)
    assert len(set(colors.values())) == 3


def test_multipoint_annotations_hold_one_feature_for_each_category():
    nuclei = [nucleus(1, 1), nucleus(2, 2, "Stroma"), nucleus(3, 4)]
    first = feature_collection(nuclei, points_as="multipoint annotations")
    again = feature_collection(nuclei, points_as="multipoint annotations")
    assert first == again  # also the ids
    by_name = {f["properties"]["name"]: f for f in first["features"]}
    assert by_name["Tumour"]["geometry"] == {
        "type": "MultiPoint",
        "coordinates": [[1.0, 1.0], [3.0, 4.0]],
    }
    assert by_name["Tumour"]["properties"]["objectType"] == "annotation"
    assert UUID(by_name["Stroma"]["id"])


def test_a_cropped_slide_has_its_bounds_subtracted():
    (feature,) = feature_collection([nucleus(110.5, 220.25)], offset_xy=(100, 200))["features"]
    assert feature["geometry"]["coordinates"] == [10.5, 20.25]


@pytest.mark.parametrize("radius", [1, 3, 8])
def test_an_outline_covers_exactly_the_mask(radius):
    mask = Mask.from_array(disk(radius), 5, 7)
    (rings,) = polygons_of(mask)
    assert len(rings) == 1
    assert (rings[0][0] == rings[0][-1]).all()
    expected = np.zeros((40, 40), dtype=bool)
    expected[7 : 7 + 2 * radius + 1, 5 : 5 + 2 * radius + 1] = disk(radius)
    assert (covered([rings], 40, 40) == expected).all()


def test_a_hole_is_an_inner_ring_and_an_island_in_it_a_part_of_its_own():
    image = np.zeros((20, 20), dtype=bool)
    image[2:17, 2:17] = True
    image[5:14, 5:14] = False
    image[8:11, 8:11] = True
    polygons = polygons_of(Mask.from_array(image))
    assert sorted(len(rings) for rings in polygons) == [1, 2]
    assert (covered(polygons, 20, 20) == image).all()
    (feature,) = feature_collection([nucleus(3.5, 3.5, mask=Mask.from_array(image))], masks=True)[
        "features"
    ]
    assert feature["geometry"]["type"] == "MultiPolygon"


def test_random_blobs_are_covered_exactly():
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.random((12, 12)) < 0.6
        polygons = polygons_of(Mask.from_array(image))
        assert (covered(polygons, 12, 12) == image).all()
        assert all(signed_area(rings[0]) > 0 for rings in polygons)


def test_a_straight_edge_lies_on_the_border_of_the_pixels():
    (rings,) = polygons_of(Mask.from_array(np.ones((4, 6), dtype=bool), 10, 20))
    assert rings[0].min(axis=0).tolist() == [10, 20]
    assert rings[0].max(axis=0).tolist() == [16, 24]


def test_an_empty_mask_falls_back_to_the_point():
    empty = Mask.from_array(np.zeros((3, 3), dtype=bool))
    (feature,) = feature_collection([nucleus(1, 1, mask=empty)], masks=True)["features"]
    assert feature["geometry"]["type"] == "Point"


def test_points_survive_the_file_with_uid_category_and_confidence(tmp_path):
    vague = replace(nucleus(1.25, 2.5, confidence=0.5), position_error_um=0.75)
    nuclei = [vague, nucleus(3.0, 4.0, "Stroma é")]
    path = tmp_path / "A_0.9824 é.geojson"
    write_geojson(path, nuclei)
    assert read_geojson(path) == nuclei
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_mask_comes_back_as_a_nucleus_at_its_centroid(tmp_path):
    image = disk(6)
    image[4:7, 4:7] = False  # off centre, so that a hole must count against the area
    (rings,) = polygons_of(Mask.from_array(image, 100, 50))
    n = nucleus(0, 0, mask=Mask.from_array(image, 100, 50))
    write_geojson(tmp_path / "m.geojson", [n], masks=True)
    (back,) = read_geojson(tmp_path / "m.geojson")
    fine = np.mgrid[50:63:0.02, 100:113:0.02].reshape(2, -1).T + 0.01
    inside = points_in_poly(fine[:, ::-1], rings[0]) & ~points_in_poly(fine[:, ::-1], rings[1])
    y, x = fine[inside].mean(axis=0)
    assert back.uid == n.uid
    assert (back.x_px, back.y_px) == pytest.approx((x, y), abs=0.02)


def test_what_qupath_and_others_write_is_read(tmp_path):
    uid = uuid4()
    path = tmp_path / "q.geojson"
    path.write_text(
        """[
        {"type": "Feature", "id": "UID", "geometry": {"type": "Point", "coordinates": [1, 2]},
         "properties": {"object_type": "detection", "classification": {"names": ["A", "B"]},
          "measurements": [{"name": "NuNext confidence", "value": 0.25},
                           {"name": "NuNext position error um", "value": 1.5}],
          "metadata": {}, "metadata": {"x": "y"}}},
        {"type": "Feature", "id": "PathDetectionObject", "geometry":
          {"type": "MultiPoint", "coordinates": [[3, 4], [5, 6]]},
         "properties": {"classification": "Stroma"}},
        {"type": "Feature", "id": "UID", "geometry": {"type": "Point", "coordinates": [7, 8]},
         "properties": {"measurements": {"NuNext confidence": "NaN",
                                         "NuNext position error um": "NaN"}}},
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
         "properties": {}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates":
          [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}, "properties": {"objectType": "tile"}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates":
          [[[0, 0], [90, 0], [90, 90], [0, 0]]]}, "properties": {"objectType": "cell"},
         "nucleusGeometry": {"type": "Polygon", "coordinates":
          [[[10, 10], [12, 10], [12, 14], [10, 14], [10, 10]]]}}
        ]""".replace("UID", str(uid)),
        encoding="utf-8-sig",
    )
    nuclei = read_geojson(path)
    assert [(n.x_px, n.y_px) for n in nuclei] == [(1, 2), (3, 4), (5, 6), (7, 8), (11, 12)]
    assert [n.category for n in nuclei] == ["A: B", "Stroma", "Stroma", "Nucleus", "Nucleus"]
    assert [n.confidence for n in nuclei] == [0.25, None, None, None, None]
    assert [n.position_error_um for n in nuclei] == [1.5, None, None, None, None]
    assert nuclei[0].uid == uid
    assert len({n.uid for n in nuclei}) == 5  # a uid that stands twice is given once


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not GeoJSON"),
        ('{"a": 1}', "expected a FeatureCollection"),
        ('{"features": [{"geometry": {"type": "Point"}}]}', "feature 1 is malformed"),
        ('{"features": [{"geometry": {"type": "Polygon", "coordinates": [[]]}}]}', "none has"),
        ('{"features": [{"geometry": null}, {"geometry": null}]}', "2 features, and none has"),
        ('{"features": [{"geometry": {"type": "Point", "coordinates": 3}}]}', "feature 1"),
        ("[" * 100_000, "is not GeoJSON"),
        ("", "is not GeoJSON"),
        ("\0", "is not GeoJSON"),
        ('{"features": [{"geometry": {"type": "Point", "coordinates": [1, NaN]}}]}', "feature 1"),
        ('{"features": [3]}', "feature 1"),
    ],
)
def test_a_bad_file_is_named_in_one_sentence(tmp_path, text, says):
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(RecordError, match=says) as caught:
        read_geojson(path)
    assert "bad.geojson" in str(caught.value)


def test_no_nucleus_is_an_empty_collection(tmp_path):
    write_geojson(tmp_path / "none.geojson", [])
    assert json.loads((tmp_path / "none.geojson").read_text()) == {
        "type": "FeatureCollection",
        "features": [],
    }
    assert read_geojson(tmp_path / "none.geojson") == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.geojson"
    write_geojson(path, [nucleus(1, 1)])
    before = path.read_text()
    with pytest.raises(ValueError, match="Out of range"):
        write_geojson(path, [nucleus(float("nan"), 1)])
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.geojson"]
    with pytest.raises(StoreError, match="cannot be written"):
        write_geojson(tmp_path / "no" / "a.geojson", [])
