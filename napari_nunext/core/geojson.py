"""GeoJSON of nuclei, as QuPath, this project and other tools write it: the reading side.

Coordinates are level-0 pixels (x, y), corner origin, as everywhere here. Writing belongs to the
exports of a project (`napari_nunext.store.exports.geojson`); evaluation reads without one.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from napari_nunext.core.errors import RecordError
from napari_nunext.core.marks import STATUS_IN_GEOJSON, UNMARKED, MarkedNucleus, Marks
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus
from napari_nunext.core.polygons import mask_of_rings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.masks import Mask

CONFIDENCE = "NuNext confidence"
"""Name of the measurement that holds a nucleus' confidence."""

_NOT_NUCLEI = ("tile", "tmaCore")
"""QuPath objects that only divide a slide."""


def read_geojson(path: Path, *, masks: bool = False) -> list[Nucleus]:
    """Read the nuclei that stand: those of `read_marked_geojson` that nobody rejected."""
    return [n.nucleus for n in read_marked_geojson(path, masks=masks) if n.marks.stands]


def read_marked_geojson(path: Path, *, masks: bool = False) -> list[MarkedNucleus]:
    """Read nuclei and what a review says of them from GeoJSON of QuPath, ours, or other tools.

    A Point is a nucleus; a MultiPoint is one for each point; a Polygon or MultiPolygon is one at
    its centroid (a cell's is that of its ``nucleusGeometry``). An id that is a UUID stays the uid.
    Read are a FeatureCollection, a list of features, or one feature; other geometries, such as a
    LineString, are no nuclei and are passed over.

    Parameters
    ----------
    path : Path
    masks : bool
        Give each polygon's nucleus the mask of the pixels whose centres it holds.

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
    nuclei: list[MarkedNucleus] = []
    seen: set[UUID] = set()
    for number, feature in enumerate(_features(data, path.name), start=1):
        try:
            found = _nuclei(feature, seen, masks)
        except RecordError as error:
            raise RecordError(f"{path.name}: feature {number} is malformed: {error}") from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"{path.name}: feature {number} is malformed ({error!r}). Expected a geometry with "
                "coordinates and properties."
            ) from error
        seen.update(n.nucleus.uid for n in found)
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


def _nuclei(feature: dict[str, Any], seen: set[UUID], masks: bool) -> list[MarkedNucleus]:
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
    mask = _mask(geometry) if masks else None
    marks = _marks(properties.get("metadata"))
    return [
        MarkedNucleus(Nucleus(u, x, y, category, confidence, mask), marks)
        for u, (x, y) in zip(uids, points, strict=True)
    ]


def _marks(metadata: Any) -> Marks:
    """Of other tools' features, whose metadata may be anything, none."""
    if not isinstance(metadata, dict):
        return UNMARKED
    return Marks.from_text(metadata, status_name=STATUS_IN_GEOJSON)


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


def _mask(geometry: dict[str, Any] | None) -> Mask | None:
    """Mask of a polygon; None for points, and for one that holds no pixel's centre."""
    match (geometry or {}).get("type"), (geometry or {}).get("coordinates"):
        case "Polygon", rings:
            mask = mask_of_rings([[_xy(p) for p in ring] for ring in rings or ()])
        case "MultiPolygon", polygons:
            mask = mask_of_rings([[_xy(p) for p in r] for rings in polygons or () for r in rings])
        case _:
            return None
    return mask if mask.area_px else None


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
