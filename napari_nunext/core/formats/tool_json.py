"""JSON of HoVer-Net, CellViT and labelme as GeoJSON features.

labelme has corners in pixels, corner origin, as GeoJSON here. HoVer-Net (also in
TIAToolbox) and CellViT have the numbers of the border's pixels, so their centres are meant, and the
border is part of the nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from collections.abc import Sequence

_BORDER = 1.001
"""Stretches a line through centres of pixels so that these lie inside it."""


@dataclass(frozen=True, slots=True)
class ToolFeatures:
    """The nuclei of a file as GeoJSON detections, and what wrote them."""

    tool: str
    features: list[dict[str, Any]]


def features_of_tool(data: Any, name: str) -> ToolFeatures | None:
    """What a file holds; None if it is of no tool that is known.

    Parameters
    ----------
    data : object
        The file's JSON.
    name : str
        The file's, for messages.

    Raises
    ------
    RecordError
        If it is of a known tool, but not as that writes it.
    """
    if not isinstance(data, dict):
        return None
    for tool, keys, read in (
        ("HoVer-Net", ("nuc",), _hovernet),
        ("CellViT", ("cells",), _cellvit),
        ("labelme", ("shapes",), _labelme),
    ):
        if all(isinstance(data.get(key), dict | list) for key in keys):
            try:
                return ToolFeatures(tool, read(data))
            except RecordError as error:
                raise RecordError(f"{name}: {error}") from error
            except MALFORMED as error:
                raise RecordError(
                    f"{name} looks like JSON of {tool}, but is malformed ({error!r}). Write it "
                    "again, or as GeoJSON."
                ) from error
    return None


def feature_of(
    shape: str, coordinates: Any, category: Any, *, kind: str = "detection"
) -> dict[str, Any]:
    """A GeoJSON feature; `kind` is a type of object of QuPath."""
    return {
        "type": "Feature",
        "geometry": {"type": shape, "coordinates": coordinates},
        "properties": {"objectType": kind, "classification": category or UNCATEGORISED},
    }


def inside_border(pixels: Sequence[Any]) -> list[list[float]]:
    """The outline of a nucleus, of the numbers (x, y) of its border's pixels; at least one."""
    ring = [(float(x) + 0.5, float(y) + 0.5) for x, y in pixels]
    cx, cy = (sum(values) / len(ring) for values in zip(*ring, strict=True))
    return [[cx + _BORDER * (x - cx), cy + _BORDER * (y - cy)] for x, y in ring]


def _hovernet(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [_cell(cell, {}) for cell in data["nuc"].values()]


def _cellvit(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [_cell(cell, data.get("type_map") or {}) for cell in data["cells"]]


def _cell(cell: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    kind = cell.get("type")
    category = None if kind is None else names.get(str(kind), f"type {kind}")
    contour = cell.get("contour")
    if not contour:
        x, y = cell["centroid"]
        return feature_of("Point", [float(x) + 0.5, float(y) + 0.5], category)
    return feature_of("Polygon", [inside_border(contour)], category)


def _labelme(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [_labelme_feature(shape) for shape in data["shapes"]]


def _labelme_feature(shape: dict[str, Any]) -> dict[str, Any]:
    points, category = shape["points"], shape.get("label")
    match shape.get("shape_type", "polygon"):
        case "polygon":
            return feature_of("Polygon", [points], category)
        case "point":
            return feature_of("Point", points[0], category)
        case "rectangle":
            (x0, y0), (x1, y1) = points[0], points[-1]
            return feature_of("Polygon", [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], category)
        case other:
            raise RecordError(f"a labelme shape is a {other!r}; expected polygons or points.")
