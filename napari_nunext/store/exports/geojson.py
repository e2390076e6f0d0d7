"""GeoJSON as QuPath reads it.

Coordinates are level-0 pixels (x, y) with two decimals, as QuPath's own. A feature's id is the
nucleus' uid, so that what comes back can be matched. A classification always carries its colour:
QuPath refuses a whole file over one without.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID, uuid5

from napari_nunext.core.formats.geojson import CONFIDENCE
from napari_nunext.core.marks import STATUS_IN_GEOJSON
from napari_nunext.core.nuclei import default_categories
from napari_nunext.store.exports.files import as_marked, replacing
from napari_nunext.store.exports.outlines import polygons_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.marks import MarkedNucleus
    from napari_nunext.core.nuclei import Category
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.exports.files import Exportable

PointsAs: TypeAlias = Literal["detections", "multipoint annotations"]

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
        QuPath's counting tool has it (which has no room for uid, confidence or review: rejected
        nuclei are left out).
    masks : bool
        Write a nucleus that has a mask as a Polygon detection instead of a Point.
    offset_xy : tuple of float
        Subtracted from every coordinate, level-0 px: QuPath crops some slides to their bounds.
    metadata : mapping of str to str
        Added to the metadata of every detection, for example the model.
    """
    marked = as_marked(nuclei)
    colors = _colors(marked, categories)
    if points_as == "multipoint annotations":
        features = _multipoints([n for n in marked if n.marks.stands], colors, offset_xy)
    else:
        features = [_detection(n, colors, masks, offset_xy, metadata or {}) for n in marked]
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
    nuclei: Sequence[MarkedNucleus], categories: Sequence[Category]
) -> dict[str, tuple[int, int, int]]:
    known = {c.name: c.color for c in categories}
    missing = dict.fromkeys(n.nucleus.category for n in nuclei if n.nucleus.category not in known)
    names = [*known, *missing]
    return {c.name: known.get(c.name, c.color) for c in default_categories(names)}


def _classification(category: str, colors: Mapping[str, tuple[int, int, int]]) -> dict[str, Any]:
    return {"name": category, "color": list(colors[category])}


def _detection(
    n: MarkedNucleus,
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
    properties["metadata"] = {
        **metadata,
        **n.marks.to_text(status_name=STATUS_IN_GEOJSON),
    }
    return {
        "type": "Feature",
        "id": str(n.nucleus.uid),
        "geometry": geometry,
        "properties": properties,
    }


def _multipoints(
    nuclei: Sequence[MarkedNucleus],
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
