"""GeoJSON as QuPath reads and writes it.

Coordinates are level-0 pixels (x, y) with two decimals, as QuPath's own. A feature's id is the
nucleus' uid, so that what comes back can be matched. A classification always carries its colour:
QuPath refuses a whole file over one without.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID, uuid4, uuid5

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED, Category, Nucleus, default_categories
from napari_nunext.store.exports.files import as_reviewed, replacing
from napari_nunext.store.exports.outlines import polygons_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.masks import Mask
    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.folding import ReviewedNucleus

PointsAs: TypeAlias = Literal["detections", "multipoint annotations"]

CONFIDENCE = "NuNext confidence"
"""Name of the measurement that holds a nucleus' confidence."""

_NOT_NUCLEI = ("tile", "tmaCore")
"""QuPath objects that only divide a slide."""

_CATEGORY_NAMESPACE = UUID("6f2b7c1e-0d3a-5f4e-9c58-3b1d2a7e4f60")
"""So that a category's MultiPoint keeps its id from one export to the next."""


def feature_collection(
    nuclei: Sequence[Exportable],
    *,
    categories: Sequence[Category] = (),
    points_as: PointsAs = "detections",
    masks: bool = False,
    offset_xy: tuple[float, float] = (0.0, 0.0),
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Nuclei as a GeoJSON FeatureCollection.

    Parameters
    ----------
    nuclei : sequence of Nucleus or ReviewedNucleus
        In the order they are to be written. May be empty.
    categories : sequence of Category
        For their colours; a category that is missing here gets a default colour.
    points_as : {"detections", "multipoint annotations"}
        One Point detection for each nucleus, or one MultiPoint annotation for each category, as
        QuPath's counting tool has it (which has no room for uid, confidence or review).
    masks : bool
        Write a nucleus that has a mask as a Polygon detection instead of a Point.
    offset_xy : tuple of float
        Subtracted from every coordinate, level-0 px: QuPath crops some slides to their bounds.
    metadata : mapping of str to str
        Added to the metadata of every detection, for example the model.
    """
    reviewed = as_reviewed(nuclei)
    colors = _colors(reviewed, categories)
    if points_as == "multipoint annotations":
        features = _multipoints(reviewed, colors, offset_xy)
    else:
        features = [_detection(n, colors, masks, offset_xy, metadata or {}) for n in reviewed]
    return {"type": "FeatureCollection", "features": features}


def write_geojson(
    path: Path,
    nuclei: Sequence[Exportable],
    *,
    categories: Sequence[Category] = (),
    points_as: PointsAs = "detections",
    masks: bool = False,
    offset_xy: tuple[float, float] = (0.0, 0.0),
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `feature_collection`, whole or not at all.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    collection = feature_collection(
        nuclei,
        categories=categories,
        points_as=points_as,
        masks=masks,
        offset_xy=offset_xy,
        metadata=metadata,
    )
    with replacing(path) as file:
        json.dump(collection, file, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _colors(
    nuclei: Sequence[ReviewedNucleus], categories: Sequence[Category]
) -> dict[str, tuple[int, int, int]]:
    known = {c.name: c.color for c in categories}
    missing = dict.fromkeys(n.nucleus.category for n in nuclei if n.nucleus.category not in known)
    names = [*known, *missing]
    return {c.name: known.get(c.name, c.color) for c in default_categories(names)}


def _classification(category: str, colors: Mapping[str, tuple[int, int, int]]) -> dict[str, Any]:
    return {"name": category, "color": list(colors[category])}


def _detection(
    n: ReviewedNucleus,
    colors: Mapping[str, tuple[int, int, int]],
    with_mask: bool,
    offset_xy: tuple[float, float],
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    geometry = None
    if with_mask and n.nucleus.mask is not None:
        geometry = _polygon(n.nucleus.mask, offset_xy)
    if geometry is None:
        xy = _position(n.nucleus.x_px, n.nucleus.y_px, offset_xy)
        geometry = {"type": "Point", "coordinates": xy}
    properties: dict[str, Any] = {
        "objectType": "detection",
        "classification": _classification(n.nucleus.category, colors),
    }
    if n.nucleus.confidence is not None:
        properties["measurements"] = {CONFIDENCE: round(n.nucleus.confidence, 6)}
    described = {**metadata, "review": n.status}
    if n.annotator is not None:
        described["annotator"] = n.annotator
    if n.flagged:
        described["flagged"] = "true"
    properties["metadata"] = described
    return {
        "type": "Feature",
        "id": str(n.uid),
        "geometry": geometry,
        "properties": properties,
    }


def _multipoints(
    nuclei: Sequence[ReviewedNucleus],
    colors: Mapping[str, tuple[int, int, int]],
    offset_xy: tuple[float, float],
) -> list[dict[str, Any]]:
    by_category: dict[str, list[list[float]]] = defaultdict(list)
    for n in nuclei:
        by_category[n.nucleus.category].append(_position(n.nucleus.x_px, n.nucleus.y_px, offset_xy))
    return [
        {
            "type": "Feature",
            "id": str(uuid5(_CATEGORY_NAMESPACE, category)),
            "geometry": {"type": "MultiPoint", "coordinates": points},
            "properties": {
                "objectType": "annotation",
                "name": category,
                "classification": _classification(category, colors),
            },
        }
        for category, points in by_category.items()
    ]


def _position(x_px: float, y_px: float, offset_xy: tuple[float, float]) -> list[float]:
    return [round(float(x_px) - offset_xy[0], 2), round(float(y_px) - offset_xy[1], 2)]


def _polygon(mask: Mask, offset_xy: tuple[float, float]) -> dict[str, Any] | None:
    """None for an empty mask."""
    parts = [
        [[_position(x, y, offset_xy) for x, y in ring.tolist()] for ring in rings]
        for rings in polygons_of(mask)
    ]
    if not parts:
        return None
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


# Reading


def read_geojson(path: Path) -> list[Nucleus]:
    """Read nuclei from GeoJSON of QuPath, of ours, or of other tools.

    A Point is a nucleus; a MultiPoint is one for each point; a Polygon or MultiPolygon is one at
    its centroid (a cell's is that of its ``nucleusGeometry``). An id that is a UUID stays the uid.
    Read are a FeatureCollection, a list of features, or one feature; other geometries, such as a
    LineString, are no nuclei and are passed over.

    Raises
    ------
    RecordError
        If the file is not GeoJSON, or a feature is malformed; the message names it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RecordError(
            f"{path.name} is not GeoJSON ({error}). Export it again, for example from QuPath."
        ) from error
    nuclei: list[Nucleus] = []
    seen: set[UUID] = set()
    for number, feature in enumerate(_features(data, path.name), start=1):
        try:
            found = _nuclei(feature, seen)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"{path.name}: feature {number} is malformed ({error!r}). Expected a geometry with "
                "coordinates and properties."
            ) from error
        seen.update(n.uid for n in found)
        nuclei += found
    return nuclei


def _features(data: Any, name: str) -> list[Any]:
    if isinstance(data, dict) and isinstance(data.get("features"), list):
        return list(data["features"])
    if isinstance(data, dict) and data.get("type") == "Feature":
        return [data]
    if isinstance(data, list):
        return data
    raise RecordError(f"{name} is JSON but not GeoJSON; expected a FeatureCollection.")


def _nuclei(feature: dict[str, Any], seen: set[UUID]) -> list[Nucleus]:
    properties = feature.get("properties") or {}
    if properties.get("objectType", properties.get("object_type")) in _NOT_NUCLEI:
        return []
    geometry = feature.get("nucleusGeometry") or feature["geometry"]
    points = _points(geometry)
    category = _category(properties)
    confidence = _confidence(properties.get("measurements"))
    uid = _uid(feature.get("id"))
    if len(points) == 1 and uid is not None and uid not in seen:
        uids = [uid]
    else:
        uids = [uuid4() for _ in points]
    return [Nucleus(u, x, y, category, confidence) for u, (x, y) in zip(uids, points, strict=True)]


def _points(geometry: dict[str, Any] | None) -> list[tuple[float, float]]:
    if geometry is None:
        return []
    coordinates = geometry.get("coordinates")
    match geometry["type"]:
        case "Point":
            return [_xy(coordinates)]
        case "MultiPoint":
            return [_xy(point) for point in coordinates or ()]
        case "Polygon":
            return [_centroid([coordinates])]
        case "MultiPolygon":
            return [_centroid(coordinates)]
        case _:
            return []


def _xy(point: Any) -> tuple[float, float]:
    x, y = float(point[0]), float(point[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"coordinates {point}")
    return x, y


def _centroid(polygons: Any) -> tuple[float, float]:
    """Centroid of the area: outer rings count, holes count against it."""
    area = moment_x = moment_y = 0.0
    corners: list[tuple[float, float]] = []
    for rings in polygons:
        for i, ring in enumerate(rings):
            ring_area, ring_x, ring_y = _moments([_xy(p) for p in ring])
            sign = math.copysign(1.0, ring_area) * (1.0 if i == 0 else -1.0)
            area += sign * ring_area
            moment_x += sign * ring_x
            moment_y += sign * ring_y
            corners += [_xy(p) for p in ring]
    if area <= 1e-9:  # a line or a point drawn as a polygon
        return (
            sum(x for x, _ in corners) / len(corners),
            sum(y for _, y in corners) / len(corners),
        )
    return moment_x / area, moment_y / area


def _moments(ring: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Signed area of a ring and its first moments in x and y (Green's theorem)."""
    ox, oy = ring[0]  # near the ring, so that a far corner of a slide costs no precision
    area = moment_x = moment_y = 0.0
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        cross = (x0 - ox) * (y1 - oy) - (x1 - ox) * (y0 - oy)
        area += cross / 2
        moment_x += cross * (x0 + x1 - 2 * ox) / 6
        moment_y += cross * (y0 + y1 - 2 * oy) / 6
    return area, moment_x + area * ox, moment_y + area * oy


def _category(properties: dict[str, Any]) -> str:
    """QuPath writes an object with a name or, for derived classes, names; others a bare string."""
    found = properties.get("classification")
    if isinstance(found, dict):
        found = found.get("name") or ": ".join(str(n) for n in found.get("names", ()))
    return str(found) if found else UNCATEGORISED


def _confidence(measurements: Any) -> float | None:
    """From a name-to-number object, or the older list of name and value."""
    if isinstance(measurements, list):
        measurements = {m.get("name"): m.get("value") for m in measurements}
    value = (measurements or {}).get(CONFIDENCE)
    if value is None or not 0 <= float(value) <= 1:  # also "NaN", as QuPath writes it
        return None
    return float(value)


def _uid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
