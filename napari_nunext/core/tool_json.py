"""JSON of HoVer-Net, CellViT, COCO and labelme as GeoJSON features.

COCO and labelme have corners in pixels, corner origin, as GeoJSON here. HoVer-Net (also in
TIAToolbox) and CellViT have the numbers of the border's pixels, so their centres are meant, and the
border is part of the nucleus.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED

_BORDER = 1.001
"""Stretches a line through centres of pixels so that these lie inside it."""


def features_of_tool(data: Any, stem: str, name: str) -> list[dict[str, Any]] | None:
    """The nuclei of a file as GeoJSON detections; None if it is of no tool that is known.

    Parameters
    ----------
    data : object
        The file's JSON.
    stem : str
        Name of the image without suffix: chooses among the images of a COCO file.
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
        ("COCO", ("images", "annotations"), _coco),
        ("labelme", ("shapes",), _labelme),
    ):
        if all(isinstance(data.get(key), dict | list) for key in keys):
            try:
                return read(data, stem)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise RecordError(
                    f"{name} looks like JSON of {tool}, but is malformed ({error!r}). Write it "
                    "again, or as GeoJSON."
                ) from error
            except RecordError as error:
                raise RecordError(f"{name}: {error}") from error
    return None


def _feature(shape: str, coordinates: Any, category: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": shape, "coordinates": coordinates},
        "properties": {"objectType": "detection", "classification": category or UNCATEGORISED},
    }


def _hovernet(data: dict[str, Any], stem: str) -> list[dict[str, Any]]:
    del stem
    return [_cell(cell, {}) for cell in data["nuc"].values()]


def _cellvit(data: dict[str, Any], stem: str) -> list[dict[str, Any]]:
    del stem
    return [_cell(cell, data.get("type_map") or {}) for cell in data["cells"]]


def _cell(cell: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    kind = cell.get("type")
    category = None if kind is None else names.get(str(kind), f"type {kind}")
    ring = [(float(x) + 0.5, float(y) + 0.5) for x, y in cell.get("contour") or ()]
    if not ring:
        x, y = cell["centroid"]
        return _feature("Point", [float(x) + 0.5, float(y) + 0.5], category)
    cx, cy = (sum(values) / len(ring) for values in zip(*ring, strict=True))
    wider = [[cx + _BORDER * (x - cx), cy + _BORDER * (y - cy)] for x, y in ring]
    return _feature("Polygon", [wider], category)


def _coco(data: dict[str, Any], stem: str) -> list[dict[str, Any]]:
    images = data["images"]
    chosen = [i for i in images if PurePath(str(i["file_name"])).stem == stem]
    if len(images) != 1 and len(chosen) != 1:
        raise RecordError(
            f"COCO of {len(images)} images, {len(chosen)} of them named {stem}; expected one. "
            "Write a file for each image, named as the image."
        )
    image = (chosen or images)[0]["id"]
    names = {c["id"]: c["name"] for c in data.get("categories") or ()}
    return [
        _coco_feature(a, names.get(a.get("category_id")))
        for a in data["annotations"]
        if a["image_id"] == image and not a.get("iscrowd")
    ]


def _coco_feature(annotation: dict[str, Any], category: str | None) -> dict[str, Any]:
    outline = annotation.get("segmentation")
    if isinstance(outline, dict) and annotation.get("area") != 0:
        raise RecordError(
            "COCO with masks as run lengths (RLE) is not read. Write polygons, GeoJSON, or a label "
            "image."
        )
    if isinstance(outline, list) and outline:
        parts = [[list(zip(p[::2], p[1::2], strict=True))] for p in outline]
        return _feature("MultiPolygon", parts, category)
    if len(annotation.get("keypoints") or ()) == 3:
        return _feature("Point", annotation["keypoints"][:2], category)
    x, y, width, height = annotation["bbox"]
    return _feature("Point", [x + width / 2, y + height / 2], category)


def _labelme(data: dict[str, Any], stem: str) -> list[dict[str, Any]]:
    del stem
    return [_labelme_feature(shape) for shape in data["shapes"]]


def _labelme_feature(shape: dict[str, Any]) -> dict[str, Any]:
    points, category = shape["points"], shape.get("label")
    match shape.get("shape_type", "polygon"):
        case "polygon":
            return _feature("Polygon", [points], category)
        case "point":
            return _feature("Point", points[0], category)
        case "rectangle":
            (x0, y0), (x1, y1) = points[0], points[-1]
            return _feature("Polygon", [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], category)
        case other:
            raise RecordError(f"a labelme shape is a {other!r}; expected polygons or points.")
