"""Regions as GeoJSON: annotations of QuPath, and what other programs read as such.

Coordinates are level-0 pixels (x, y), corner origin, as everywhere here. QuPath's own classes say
what an annotation is for: *Ignore* is left out, *Region* is a region of interest. What says
nothing is of the kind that the reader of the file expects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import numpy as np

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.geojson import REGION_KIND
from napari_nunext.core.formats.json_text import read_json
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.shapes.regions import (
    KIND_WORDS,
    KINDS,
    LONGEST_NAME,
    MOST_CORNERS,
    Region,
    RegionKind,
    region,
    simplified,
    with_holes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.core.geometry import PointsXY

COLORS: dict[RegionKind, tuple[int, int, int]] = {
    "search": (18, 181, 166),
    "leave_out": (255, 90, 31),
    "interest": (61, 139, 253),
}
"""QuPath refuses a class without a colour."""
_BY_CLASS: dict[str, RegionKind] = {
    "ignore*": "leave_out",
    "ignore": "leave_out",
    "region*": "interest",
    "region": "interest",
    **{words.casefold(): kind for kind, words in KIND_WORDS.items()},
}
_FIRST_TOLERANCE_PX = 0.5


def feature_of(each: Region) -> dict[str, Any]:
    """A region as a feature that QuPath reads as an annotation."""
    ring = [list(corner) for corner in (*each.corners, each.corners[0])]
    return {
        "type": "Feature",
        "id": str(each.uid),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "name": each.name,
            "classification": {"name": KIND_WORDS[each.kind], "color": list(COLORS[each.kind])},
            "metadata": {REGION_KIND: each.kind},
        },
    }


def regions_as_text(regions: Iterable[Region]) -> str:
    """A FeatureCollection of regions."""
    collection = {"type": "FeatureCollection", "features": [feature_of(each) for each in regions]}
    return json.dumps(collection, ensure_ascii=False, allow_nan=False) + "\n"


def read_regions(path: Path, *, kind: RegionKind) -> list[Region]:
    """The polygons of a GeoJSON file as regions, in its order.

    A polygon with holes stays one region, one of several parts becomes several. Points, lines, and
    what was found as nuclei are passed over. An id that is a UUID stays the region's.

    Parameters
    ----------
    path : Path
    kind : {"search", "leave_out", "interest"}
        Of the regions that do not say theirs.

    Raises
    ------
    RecordError
        If the file is no GeoJSON, or has no polygon that is a region.
    """
    data = read_json(path, "GeoJSON", "Export the annotations again, for example from QuPath.")
    features = data.get("features", [data]) if isinstance(data, dict) else data
    found: list[Region] = []
    for number, feature in enumerate(features if isinstance(features, list) else [], start=1):
        try:
            found += _regions(feature, kind, {each.uid for each in found}, len(found) + 1)
        except MALFORMED as error:
            said = str(error) if isinstance(error, RecordError) else repr(error)
            raise RecordError(
                f"{path.name}: feature {number} is no region: {said} Expected a polygon."
            ) from error
    if not found:
        raise RecordError(
            f"{path.name} has no region. Draw one as an annotation with an area, and export it."
        )
    return found


def _regions(feature: Any, kind: RegionKind, taken: set[UUID], first: int) -> Iterator[Region]:
    geometry, properties = feature.get("geometry") or {}, feature.get("properties") or {}
    if properties.get("objectType", "annotation") != "annotation":
        return
    parts = geometry.get("coordinates") or []
    if geometry.get("type") == "Polygon":
        parts = [parts]
    elif geometry.get("type") != "MultiPolygon":
        return
    called = _called(properties)
    for number, rings in enumerate(parts, start=1):
        name = called or f"Region {first + number - 1}"
        if called and len(parts) > 1:
            name = f"{called} {number}"
        uid = _uid_of(feature.get("id")) if len(parts) == 1 else None
        if uid is None or uid in taken:
            uid = uuid4()
        outer, *holes = (as_points_xy([point[:2] for point in ring]) for ring in rings)
        yield region(
            name[:LONGEST_NAME], _kind_of(properties) or kind, _simple(outer, holes), uid=uid
        )


def _simple(outer: PointsXY, holes: Sequence[PointsXY]) -> PointsXY:
    """One polygon, with fewer corners only where it has too many."""
    made, tolerance_px = with_holes(outer, holes), _FIRST_TOLERANCE_PX
    while len(made) > MOST_CORNERS:
        rings = [simplified(hole, tolerance_px) for hole in holes]
        made = with_holes(simplified(outer, tolerance_px), [r for r in rings if len(r) > 2])
        tolerance_px *= 2
    return np.asarray(made)


def _called(properties: dict[str, Any]) -> str:
    said = properties.get("name")
    return " ".join(str(said).split()) if said else ""


def _kind_of(properties: dict[str, Any]) -> RegionKind | None:
    metadata, classification = properties.get("metadata"), properties.get("classification")
    said = metadata.get(REGION_KIND) if isinstance(metadata, dict) else None
    named = next((kind for kind in KINDS if kind == said), None)
    if named is not None:
        return named
    if isinstance(classification, dict):
        names = classification.get("names") or [""]
        classification = classification.get("name") or names[0]
    return _BY_CLASS.get(str(classification).strip().casefold())


def _uid_of(said: Any) -> UUID | None:
    try:
        return UUID(str(said))
    except ValueError:
        return None
