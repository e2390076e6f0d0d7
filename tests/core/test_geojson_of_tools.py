"""What QuPath, CellViT and other tools mean by their GeoJSON."""

from __future__ import annotations

import gzip
import json
from uuid import UUID, uuid4

import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.geojson import read_noted_geojson

GOOD = {"type": "Polygon", "coordinates": [[[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]]}


def square(x0, y0, side=10):
    x1, y1 = x0 + side, y0 + side
    return [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]


def polygon(*place, kind=None, **more):
    properties = {} if kind is None else {"objectType": kind}
    geometry = {"type": "Polygon", "coordinates": square(*place)}
    return {"type": "Feature", "geometry": geometry, "properties": properties | more}


def multipolygon(parts, kind):
    geometry = {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind}}


@pytest.fixture
def read(tmp_path):
    def read(*features, masks=True):
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return read_noted_geojson(path, masks=masks)

    return read


def test_geojson_multipolygon_per_class(read):
    parts = [square(12 + 40 * column, 12 + 40 * row, 17) for row in range(6) for column in range(7)]
    found = read({"id": str(uuid4())} | multipolygon(parts, "annotation"))
    assert [(n.nucleus.x_px, n.nucleus.y_px) for n in found.nuclei[:2]] == [
        (20.5, 20.5),
        (60.5, 20.5),
    ]
    assert [n.nucleus.mask.area_px for n in found.nuclei] == [17 * 17] * 42
    assert len({n.nucleus.uid for n in found.nuclei}) == 42
    assert found.notes == ("read 1 outlines of several parts as 42 nuclei",)


def test_a_detection_of_several_parts_is_one_nucleus(read):
    found = read(multipolygon([square(0, 0, 4), square(6, 0, 4)], "detection"))
    assert [n.nucleus.mask.area_px for n in found.nuclei] == [32]
    assert found.notes == ()


def test_geojson_parent_annotation(read):
    found = read(
        polygon(0, 0, 200, kind="annotation"),
        polygon(10, 10, kind="detection"),
        polygon(50, 50, kind="detection"),
    )
    assert [(n.nucleus.x_px, n.nucleus.y_px) for n in found.nuclei] == [(15, 15), (55, 55)]
    assert found.notes == ("left out 1 outlines of regions round nuclei",)


@pytest.mark.parametrize(
    ("features", "kept"),
    [
        ([polygon(0, 0, 9000, kind="annotation")], []),  # no nucleus is so large
        # Tissue in which nuclei were drawn by hand, or counted.
        ([polygon(0, 0, 90, kind="annotation"), polygon(8, 8, kind="annotation")], [1]),
        ([polygon(0, 0, 90), polygon(8, 8), polygon(50, 50)], [1, 2]),
        (
            [
                polygon(0, 0, 90, kind="annotation"),
                {
                    "geometry": {"type": "MultiPoint", "coordinates": [[5, 5]]},
                    "properties": {"objectType": "annotation"},
                },
            ],
            [1],
        ),
        # A region of two parts, one of them without a nucleus.
        (
            [
                multipolygon([square(0, 0, 90), square(200, 0, 90)], "annotation"),
                polygon(8, 8, kind="cell"),
            ],
            [1],
        ),
        # A nucleus inside another one, of whatever tool.
        ([polygon(0, 0, 12), polygon(1, 1, 9)], [0, 1]),
        ([polygon(0, 0, 30, kind="detection"), polygon(1, 1, 2, kind="detection")], [0, 1]),
        ([polygon(0, 0, 12, kind="annotation"), polygon(40, 1, 9, kind="detection")], [0, 1]),
    ],
)
def test_a_region_is_told_from_a_nucleus_with_another_inside(read, features, kept):
    found = read(*features)
    uids = [UUID(int=i + 1) for i in range(len(features))]
    named = [f | {"id": str(uid)} for f, uid in zip(features, uids, strict=True)]
    found = read(*named)
    assert [n.nucleus.uid for n in found.nuclei] == [uids[i] for i in kept]
    assert bool(found.notes) == (len(kept) < len(features))


def test_objects_that_qupath_nests_in_others_are_read(read):
    inner = polygon(50, 50, kind="detection")
    parent = polygon(0, 0, 200, kind="annotation", childObjects=[polygon(10, 10, kind="cell")])
    parent["properties"]["childObjects"][0]["properties"]["childObjects"] = [inner]
    found = read(parent)
    assert [(n.nucleus.x_px, n.nucleus.y_px) for n in found.nuclei] == [(15, 15), (55, 55)]


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize(
    "empty",
    [
        None,
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "Point", "coordinates": []},
        {"type": "MultiPoint", "coordinates": []},
    ],
)
def test_geojson_empty_polygon(read, empty, masks):
    features = [{"geometry": g, "properties": {"objectType": "detection"}} for g in (empty, GOOD)]
    found = read(*features, masks=masks)
    assert [(n.nucleus.x_px, n.nucleus.y_px) for n in found.nuclei] == [(15, 15)]
    assert found.notes == ("left out 1 objects without a geometry",)
    with pytest.raises(RecordError, match="1 features, and none has a geometry"):
        read(features[0], masks=masks)


def test_other_geometries_and_tiles_are_counted(read):
    line = {"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}
    many = {"geometry": {"type": "GeometryCollection", "geometries": []}}
    found = read(line, many, polygon(0, 0, kind="tile"), polygon(0, 0))
    assert len(found.nuclei) == 1
    assert found.notes == (
        "left out 2 objects that are no points or polygons",
        "left out 1 tiles",
    )


def test_a_category_that_tiatoolbox_calls_type_is_read(read):
    (found,) = read(polygon(0, 0, type="Tumour")).nuclei
    assert found.nucleus.category == "Tumour"


def test_gzip_is_read_and_a_damaged_one_is_an_error(tmp_path):
    path = tmp_path / "a.geojson.gz"
    whole = gzip.compress(json.dumps([polygon(0, 0)]).encode())
    path.write_bytes(whole)
    assert len(read_noted_geojson(path).nuclei) == 1
    for damaged in (whole[:-12], whole[:4], whole[:14] + b"\xff\xff" + whole[16:]):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"a\.geojson\.gz is damaged"):
            read_noted_geojson(path)
