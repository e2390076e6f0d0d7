"""GeoJSON of nuclei, as QuPath, this project and other tools write it: the reading side.

Coordinates are level-0 pixels (x, y), corner origin, as everywhere here. Writing belongs to the
exports of a project (`napari_nunext.store.exports.geojson`); evaluation reads without one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.coco import is_coco_results
from napari_nunext.core.formats.feature_stream import (
    LARGE_BYTES,
    OtherJsonError,
    features_in,
    opened,
)
from napari_nunext.core.formats.json_text import read_json, reading_json
from napari_nunext.core.formats.regions import Item, regions
from napari_nunext.core.formats.tool_json import features_of_tool
from napari_nunext.core.marks import STATUS_IN_GEOJSON, UNMARKED, MarkedNucleus, Marks
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus, identity_of, measured_um
from napari_nunext.core.shapes.masks import FARTHEST_PX
from napari_nunext.core.shapes.polygons import MAX_SIDE_PX, centroid_of, mask_of_rings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask

CONFIDENCE = "NuNext confidence"
"""Name of the measurement that holds a nucleus' confidence."""
POSITION_ERROR = "NuNext position error um"
"""The same of how far off it may be."""

REGION_KIND = "NuNext region"
"""Name of what says in the metadata of an annotation that it is a region of ours, of which kind."""

NO_GEOMETRY = "objects without a geometry"
REGION = "outlines of regions round nuclei"

_ANNOTATION = "annotation"
_ONE_NUCLEUS = ("detection", "cell")
"""Objects that QuPath found one by one."""
_NOT_NUCLEI = {
    "tile": "tiles",
    "tmaCore": "TMA cores",
    "tma_core": "TMA cores",
    "root": "root objects",
}
"""Objects of QuPath that only divide a slide."""
_OLD_KINDS = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
}
"""Which QuPath 0.2 wrote as ids."""

_SHAPES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")


@dataclass(frozen=True, slots=True)
class GeoJson:
    """What a file holds."""

    nuclei: tuple[MarkedNucleus, ...]
    """In the order of the file."""
    notes: tuple[str, ...] = ()
    """What was left out, and what was read as more than one nucleus: a phrase for each."""
    tool: str = ""
    """What wrote it, as far as it shows; empty where it does not."""


def read_geojson(path: Path, *, masks: bool = False) -> list[Nucleus]:
    """Read the nuclei that stand: those of `read_marked_geojson` that nobody rejected."""
    return [n.nucleus for n in read_marked_geojson(path, masks=masks) if n.marks.stands]


def read_marked_geojson(path: Path, *, masks: bool = False) -> list[MarkedNucleus]:
    """Nuclei and what a review says of them: those of `read_noted_geojson`."""
    return list(read_noted_geojson(path, masks=masks).nuclei)


def read_noted_geojson(path: Path, *, masks: bool = False) -> GeoJson:
    """Read nuclei and what a review says of them from GeoJSON of QuPath, ours, or other tools.

    A Point is a nucleus; a MultiPoint is one for each point; a Polygon is one at its centroid (a
    cell's is that of its ``nucleusGeometry``). A MultiPolygon is one nucleus if it is a detection
    or a cell, which may have parts; else it is one nucleus for each part, as CellViT has one
    annotation for all nuclei of a class. An id that is a UUID stays the uid.

    No nuclei, and counted in the notes, are outlines drawn round nuclei (`regions`), annotations
    larger than any nucleus, geometries without coordinates, and other ones such as a LineString.

    Read are a FeatureCollection, a list of features, or one feature, with the ``childObjects`` of
    QuPath, plain or compressed by gzip. JSON of HoVer-Net, CellViT and labelme is read, too
    (`tool_json`).

    Parameters
    ----------
    path : Path
    masks : bool
        Give each polygon's nucleus the mask of the pixels whose centres it holds.

    Raises
    ------
    RecordError
        If the file is not GeoJSON, a feature is malformed, which the message names, or no feature
        has a geometry: such a file does not say that there are no nuclei.
    """
    streamed = read_large_geojson(path, masks=masks)
    if streamed is not None:
        return streamed
    data = read_json(path, "GeoJSON", "Export it again, for example from QuPath.")
    return read_parsed_geojson(path, data, masks=masks)


def read_large_geojson(path: Path, *, masks: bool = False) -> GeoJson | None:
    """The same of a file of at least `LARGE_BYTES`, feature by feature.

    None for a smaller one, and for one that is not plainly GeoJSON.
    """
    with reading_json(path, "GeoJSON", "Export it again, for example from QuPath."):
        if path.stat().st_size < LARGE_BYTES:
            return None
        try:
            with opened(path) as file:
                return _read_features(path, features_in(file), masks)
        except OtherJsonError:
            return None


def read_parsed_geojson(path: Path, data: Any, *, masks: bool = False) -> GeoJson:
    """The same of JSON that was read already; `path` names it in messages."""
    if is_coco_results(data):
        raise RecordError(
            f"{path.name} is a list of COCO results, which know their images by number alone. Take "
            "the file of instances, with images and annotations."
        )
    found = features_of_tool(data, path.name)
    if found is None:
        return _read_features(path, _features(data, path.name), masks)
    return replace(_read_features(path, found.features, masks), tool=found.tool)


def _read_features(path: Path, tops: Iterable[Any], masks: bool) -> GeoJson:
    """Read features, and what is nested in them, going through them once."""
    left_out: Counter[str] = Counter()
    pieces: list[_Piece] = []
    number, tool = 0, ""
    for number, feature in enumerate((f for top in tops for f in _with_children(top)), start=1):
        tool = tool or _tool_of(feature)
        try:
            pieces += [_settled(piece, masks) for piece in _pieces(feature, number, left_out)]
        except RecordError as error:
            raise RecordError(f"{path.name}: feature {number} is malformed: {error}") from error
        except MALFORMED as error:
            raise RecordError(
                f"{path.name}: feature {number} is malformed ({error!r}). Expected a geometry with "
                "coordinates and properties."
            ) from error
    if not pieces and set(+left_out) == {NO_GEOMETRY}:
        raise RecordError(
            f"{path.name} has {number} features, and none has a geometry; expected points "
            "or polygons. Export it again, with the outlines."
        )
    around = regions([piece.item for piece in pieces])
    kept = [piece for i, piece in enumerate(pieces) if i not in around]
    left_out[REGION] += len(around)
    nuclei: list[MarkedNucleus] = []
    seen: set[UUID] = set()
    for piece in kept:
        try:
            nuclei.append(_nucleus(piece, seen, masks))
        except MALFORMED as error:
            said = str(error) if isinstance(error, RecordError) else repr(error)
            raise RecordError(
                f"{path.name}: feature {piece.item.feature} is malformed: {said}"
            ) from error
    notes = [f"left out {n} {what}" for what, n in sorted(left_out.items()) if n]
    shared = Counter(p.item.feature for p in kept if p.item.rings)
    split = [n for n in shared.values() if n > 1]
    if split:
        notes.append(f"read {len(split)} outlines of several parts as {sum(split)} nuclei")
    return GeoJson(tuple(nuclei), tuple(notes), tool)


def _tool_of(feature: Any) -> str:
    """QuPath's files name the kind of each object; empty for those of nobody that is known."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    is_named = isinstance(properties, dict) and _kind(feature, properties) is not None
    return "QuPath" if is_named else ""


def _features(data: Any, name: str) -> list[Any]:
    if isinstance(data, dict) and isinstance(data.get("features"), list):
        return list(data["features"])
    if isinstance(data, dict) and data.get("type") == "Feature":
        return [data]
    if isinstance(data, list):
        return data
    raise RecordError(f"{name} is JSON but not GeoJSON; expected a FeatureCollection.")


def _with_children(feature: Any) -> list[Any]:
    """A feature, then what QuPath nests in it."""
    found, waiting = [], [feature]
    while waiting:
        one = waiting.pop()
        found.append(one)
        properties = one.get("properties") if isinstance(one, dict) else None
        if isinstance(properties, dict):
            children = properties.get("childObjects", properties.get("children"))
            waiting += reversed(children) if isinstance(children, list) else ()
    return found


@dataclass(frozen=True, slots=True)
class _Piece:
    """What may be one nucleus."""

    item: Item
    feature: dict[str, Any] | None
    """None once it is settled."""
    alone: bool
    """Whether it is all of its feature, whose id then is its own."""
    said: _Said | None = None


class _Said(NamedTuple):
    """What its feature says of a nucleus."""

    uid: Any
    category: str
    confidence: float | None
    position_error_um: float | None
    marks: Marks
    mask: Mask | None


def _settled(piece: _Piece, with_mask: bool) -> _Piece:
    """Without the feature, which takes far more room than what it says.

    Not where it may yet turn out to be a region, in which nobody minds what is wrong.
    """
    item = piece.item
    if item.rings and not item.found:
        return piece
    said = _said(piece, with_mask)
    return _Piece(replace(item, rings=[]) if item.rings else item, None, piece.alone, said)


def _said(piece: _Piece, with_mask: bool) -> _Said:
    if piece.feature is None:
        assert piece.said is not None
        return piece.said
    rings, properties = piece.item.rings, piece.feature.get("properties") or {}
    measured = _measured(properties.get("measurements"))
    mask = mask_of_rings(rings) if with_mask and rings else None
    if mask is not None and not mask.area_px:  # it holds no pixel's centre
        mask = None
    return _Said(
        piece.feature.get("id") if piece.alone else None,
        intern(_category(properties)),
        _confidence(measured.get(CONFIDENCE)),
        measured_um(measured.get(POSITION_ERROR)),
        _marks(properties.get("metadata")),
        mask,
    )


def _pieces(feature: dict[str, Any], number: int, left_out: Counter[str]) -> list[_Piece]:
    properties = feature.get("properties") or {}
    kind = _kind(feature, properties)
    if kind in _NOT_NUCLEI:
        left_out[_NOT_NUCLEI[kind]] += 1
        return []
    metadata = properties.get("metadata")
    if isinstance(metadata, dict) and REGION_KIND in metadata:
        left_out[REGION] += 1
        return []
    geometry = feature.get("nucleusGeometry") or feature["geometry"]
    if geometry is not None and geometry["type"] not in _SHAPES:
        left_out["objects that are no points or polygons"] += 1
        return []
    coordinates = [] if geometry is None else geometry["coordinates"]
    if coordinates is None or coordinates == []:
        left_out[NO_GEOMETRY] += 1
        return []
    points: list[Any] = []
    outlines: list[list[Any]] = []
    match (geometry or {})["type"]:
        case "Point":
            points = [coordinates]
        case "MultiPoint":
            points = coordinates
        case "Polygon":
            outlines = [[coordinates]]
        case "MultiPolygon" if kind in _ONE_NUCLEUS:
            outlines = [coordinates]
        case _:
            outlines = [[part] for part in coordinates]
    sure = kind in _ONE_NUCLEUS
    items = [Item(number, *_xy(p), sure or kind == _ANNOTATION, []) for p in points]
    for parts in outlines:
        rings = [[[_xy(p) for p in ring] for ring in part if ring] for part in parts]
        if any(rings):
            items.append(_outline(number, [part for part in rings if part], sure))
        else:
            left_out[NO_GEOMETRY] += 1
    if kind == _ANNOTATION:
        fits = [item for item in items if _side_px(item.rings) <= MAX_SIDE_PX]
        left_out[REGION] += len(items) - len(fits)
        items = fits
    return [_Piece(item, feature, len(points) + len(outlines) == 1) for item in items]


def _kind(feature: dict[str, Any], properties: dict[str, Any]) -> str | None:
    """QuPath's name of what it is; None where nobody says."""
    said = properties.get("objectType", properties.get("object_type"))
    return _OLD_KINDS.get(str(feature.get("id"))) if said is None else str(said)


def _outline(number: int, parts: list[list[list[tuple[float, float]]]], sure: bool) -> Item:
    x_px, y_px, area_px = centroid_of(parts)
    return Item(number, x_px, y_px, sure, [ring for part in parts for ring in part], area_px)


def _side_px(rings: list[list[tuple[float, float]]]) -> float:
    corners = [corner for ring in rings for corner in ring]
    return max((max(v) - min(v) for v in zip(*corners, strict=True)), default=0.0)


def _nucleus(piece: _Piece, seen: set[UUID], with_mask: bool) -> MarkedNucleus:
    said = _said(piece, with_mask)
    uid, identified = identity_of(said.uid, seen)
    item = piece.item
    rest = said.category, said.confidence, said.mask, said.position_error_um
    nucleus = Nucleus(uid, item.x_px, item.y_px, *rest)
    return MarkedNucleus(nucleus, said.marks, identified)


def _marks(metadata: Any) -> Marks:
    """Of other tools' features, whose metadata may be anything, none."""
    if not isinstance(metadata, dict):
        return UNMARKED
    try:
        return _same_marks(tuple(metadata.items()))
    except TypeError:  # a list or an object stands there
        return Marks.from_text(metadata, status_name=STATUS_IN_GEOJSON)


@lru_cache(maxsize=1024)
def _same_marks(metadata: tuple[tuple[str, Any], ...]) -> Marks:
    """One object for all nuclei of which the same is said."""
    return Marks.from_text(dict(metadata), status_name=STATUS_IN_GEOJSON)


def _xy(point: Any) -> tuple[float, float]:
    x, y = float(point[0]), float(point[1])
    if not (abs(x) <= FARTHEST_PX and abs(y) <= FARTHEST_PX):  # also not a number
        raise ValueError(f"coordinates {point}")
    return x, y


def _category(properties: dict[str, Any]) -> str:
    """QuPath writes an object with a name or, for derived classes, names; others a bare string.

    TIAToolbox has it under ``type``.
    """
    found = properties.get("classification") or properties.get("type")
    if isinstance(found, dict):
        found = found.get("name") or ": ".join(str(n) for n in found.get("names", ()))
    return str(found) if found else UNCATEGORISED


def _measured(measurements: Any) -> dict[str, Any]:
    """From a name-to-number object, or the older list of name and value."""
    if isinstance(measurements, list):
        measurements = {m.get("name"): m.get("value") for m in measurements}
    return measurements or {}


def _confidence(value: Any) -> float | None:
    if value is None or not 0 <= float(value) <= 1:  # also "NaN", as QuPath writes it
        return None
    return float(value)
