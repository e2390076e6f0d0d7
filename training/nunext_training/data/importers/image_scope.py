"""Outlines in the XML of Aperio ImageScope: MoNuSeg and MoNuSAC.

``Annotations/Annotation/Regions/Region/Vertices/Vertex`` with X and Y in pixels; each region is one
nucleus. Masks may overlap, as people drew them. In MoNuSAC an annotation's ``Attribute`` names the
kind of its nuclei; in MoNuSeg there are no kinds.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.polygons import mask_of_rings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.shapes.masks import Mask

DEPTHS = ("*.xml", "*/*.xml", "*/*/*.xml")
"""Where annotations lie below a data set's folder."""

_NO_KINDS = ("", "Description")
"""Names of attributes that say nothing of a kind: ImageScope writes the second by itself."""


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """One outline."""

    mask: Mask
    """Empty where it holds no pixel's centre."""
    kind: str
    """Empty where the file says none."""


def annotations_in(folder: Path) -> list[Path]:
    """The annotation files of a data set, in order."""
    return sorted(path for depth in DEPTHS for path in folder.glob(depth))


def read_regions(path: Path) -> list[Region]:
    """Every outline with its kind; those of fewer than three corners are empty.

    Raises
    ------
    RecordError
        If the file is no such annotation; it is named.
    """
    try:
        root = ET.parse(path).getroot()
        return [
            Region(mask_of_rings([corners]), kind)
            for annotation in root.findall(".//Annotation")
            for kind in [_kind_of(annotation)]
            for region in annotation.findall("Regions/Region")
            if (
                corners := [
                    (float(v.attrib["X"]), float(v.attrib["Y"]))
                    for v in region.findall("Vertices/Vertex")
                ]
            )
        ]
    except (ET.ParseError, KeyError, ValueError, OSError) as error:
        raise RecordError(
            f"{path.name} is not an annotation of Aperio ImageScope ({error}); expected Regions "
            "with Vertices that have X and Y."
        ) from error


def kinds_in(path: Path) -> frozenset[str]:
    """The kinds that a file names, in small letters; none where it is no such annotation."""
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError):
        return frozenset()
    return frozenset(_kind_of(a).casefold() for a in root.findall(".//Annotation")) - {""}


def _kind_of(annotation: ET.Element) -> str:
    names = (a.attrib.get("Name", "").strip() for a in annotation.findall("Attributes/Attribute"))
    return next((name for name in names if name not in _NO_KINDS), "")
