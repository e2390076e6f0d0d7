"""Regions as GeoJSON: what we write comes back, and what QuPath writes is read."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.geojson import read_noted_geojson
from napari_nunext.core.formats.region_files import read_regions, regions_as_text
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import (
    KINDS,
    MOST_CORNERS,
    area_px,
    inside,
    rectangle,
    region,
)

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = [[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]]
HOLE = [[20, 20], [20, 40], [40, 40], [40, 20], [20, 20]]


def annotation(coordinates: Any, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": str(uuid4()),
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **properties},
    }


def written(tmp_path: Path, *features: Any) -> Path:
    path = tmp_path / "regions.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    regions = [
        region(f"Überblick {kind}", kind, rectangle(Box(i, 2.25, 50 + i, 60)), uid=uuid4())
        for i, kind in enumerate(KINDS)
    ]
    path = tmp_path / "a.geojson"
    path.write_text(regions_as_text(regions), "utf-8")
    assert read_regions(path, kind="search") == regions
    path.write_bytes(gzip.compress(regions_as_text(regions).encode()))
    assert read_regions(path, kind="search") == regions
    assert read_noted_geojson(path).nuclei == (), "none of them is a nucleus"


@pytest.mark.parametrize(
    ("classification", "kind"),
    [
        ({"name": "Ignore*", "color": [1, 2, 3]}, "leave_out"),
        ({"name": "Region*", "color": [1, 2, 3]}, "interest"),
        ({"names": ["Ignore*", "pen"], "color": [1, 2, 3]}, "leave_out"),
        ("search here", "search"),
        ({"name": "Tumor", "color": [1, 2, 3]}, "search"),
        (None, "search"),
    ],
)
def test_classes_of_qupath_say_what_an_annotation_is_for(
    tmp_path: Path, classification: Any, kind: str
) -> None:
    path = written(tmp_path, annotation([SQUARE], classification=classification))
    (read,) = read_regions(path, kind="search")
    assert (read.kind, read.name, area_px(read.polygon_xy)) == (kind, "Region 1", 2500)


def test_holes_stay_holes_and_parts_become_regions(tmp_path: Path) -> None:
    far = (np.array(SQUARE) + 100).tolist()
    path = written(
        tmp_path,
        annotation([[*SQUARE], HOLE], name="Gland"),
        annotation([[SQUARE, HOLE], [far]], "MultiPolygon", name="Two"),
        annotation([1, 2], "Point"),
        annotation([[0, 0], [1, 1]], "LineString"),
        annotation([SQUARE]) | {"properties": {"objectType": "detection"}},
    )
    gland, one, two = read_regions(path, kind="search")
    assert [each.name for each in (gland, one, two)] == ["Gland", "Two 1", "Two 2"]
    assert area_px(gland.polygon_xy) == area_px(one.polygon_xy) == 2500 - 400
    points = np.array([(30.0, 30.0), (15.0, 15.0)])
    assert inside(points, gland.polygon_xy).tolist() == [False, True]
    assert two.box == Box(110, 110, 160, 160)


def test_a_line_of_very_many_corners_is_made_simpler(tmp_path: Path) -> None:
    angle = np.linspace(0, 2 * np.pi, 3 * MOST_CORNERS, endpoint=False)
    ring = 5000 + 4000 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    (read,) = read_regions(written(tmp_path, annotation([ring.tolist()])), kind="search")
    assert len(read.corners) <= MOST_CORNERS
    assert area_px(read.polygon_xy) == pytest.approx(np.pi * 4000**2, rel=1e-3)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ([], "no region"),
        ([annotation([1, 2], "Point")], "no region"),
        ([annotation([[[0, 0], [1, 1], [2, 2], [0, 0]]])], "feature 1 is no region"),
        ([annotation([SQUARE]), annotation([[["a", 0]]])], "feature 2 is no region"),
        ([annotation([[[0, 0], [float("1e300"), 1], [2, 2]]])], "feature 1 is no region"),
        ([7], "feature 1 is no region"),
        (["x"], "feature 1 is no region"),
    ],
)
def test_what_is_no_file_of_regions_is_said(tmp_path: Path, features: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        read_regions(written(tmp_path, *features), kind="search")
