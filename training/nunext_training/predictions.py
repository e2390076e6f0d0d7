"""Predictions as GeoJSON, from this project, QuPath or another tool, for evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.geometry import PointsXY

SUFFIXES = (".geojson", ".json")


@dataclass(frozen=True, eq=False, slots=True)
class PredictedPoints:
    """What a file says about one image."""

    points_xy: PointsXY
    """Shape (N, 2), level-0 pixels, corner origin."""
    categories: tuple[str, ...]
    """`UNCATEGORISED` where the file names none."""


def prediction_files(folder: Path) -> dict[str, Path]:
    """Files of predictions by stem: the file name without its last suffix.

    Raises
    ------
    RecordError
        If the folder holds none, or two of one stem.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise RecordError(f"{folder} holds {files[path.stem].name} and {path.name}; keep one.")
        files[path.stem] = path
    if not files:
        raise RecordError(
            f"{folder} holds no GeoJSON; expected one <image name>.geojson for each image."
        )
    return files


def read_predictions(path: Path) -> PredictedPoints:
    """Read the nuclei of a GeoJSON file.

    A Point is a nucleus, a MultiPoint one at each of its points, a Polygon or MultiPolygon one at
    the centroid of its outer ring (of the largest part).

    Raises
    ------
    RecordError
        If the file is no GeoJSON of such features.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        features = data["features"] if isinstance(data, dict) else data
        points: list[tuple[float, float]] = []
        categories: list[str] = []
        for feature in features:
            found = _points_of(feature["geometry"])
            points += found
            categories += [_category_of(feature)] * len(found)
        points_xy = np.array(points, dtype=np.float64).reshape(-1, 2)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecordError(
            f"{path.name} is not GeoJSON of points or polygons ({error!r}). Export it again as a "
            "FeatureCollection."
        ) from error
    if not np.isfinite(points_xy).all():
        raise RecordError(f"{path.name} holds a coordinate that is not finite. Export it again.")
    return PredictedPoints(points_xy, tuple(categories))


def _points_of(geometry: dict[str, Any]) -> list[tuple[float, float]]:
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind == "Point":
        return [(float(coordinates[0]), float(coordinates[1]))]
    if kind == "MultiPoint":
        return [(float(c[0]), float(c[1])) for c in coordinates]
    if kind == "Polygon":
        return [_centroid(coordinates[0])[1]]
    if kind == "MultiPolygon":
        return [max(_centroid(polygon[0]) for polygon in coordinates)[1]]
    raise ValueError(f"geometry {kind!r} is not read")


def _centroid(ring: list[list[float]]) -> tuple[float, tuple[float, float]]:
    """Area and centroid of a ring (shoelace); of its vertices where it has no area."""
    vertices = np.array([c[:2] for c in ring], dtype=np.float64)
    origin = vertices[0]
    x, y = (vertices - origin).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    area = cross.sum() / 2
    if area == 0:
        return 0.0, tuple(vertices.mean(axis=0).tolist())
    center = np.array([((x + next_x) * cross).sum(), ((y + next_y) * cross).sum()]) / (6 * area)
    return abs(area), tuple((center + origin).tolist())


def _category_of(feature: dict[str, Any]) -> str:
    """QuPath's ``classification``: an object with ``name`` or ``names``, or a plain string."""
    classification = (feature.get("properties") or {}).get("classification")
    if isinstance(classification, dict):
        names = classification.get("names") or [classification.get("name")]
        return ": ".join(str(n) for n in names if n) or UNCATEGORISED
    return str(classification) if classification else UNCATEGORISED
