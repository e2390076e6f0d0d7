"""MoNuSeg, which holds Kumar: many organs at 40x, outlines in XML (Kumar et al., 2017 and 2020).

Layout: each ``<name>.xml`` has its ``<name>.tif`` beside it, or in the folder ``Tissue Images``
beside its own folder::

    MoNuSeg 2018 Training Data/Tissue Images/TCGA-A7-A13E-01Z-00-DX1.tif
    MoNuSeg 2018 Training Data/Annotations/TCGA-A7-A13E-01Z-00-DX1.xml
    MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.tif
    MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.xml

The XML is that of Aperio ImageScope: ``Annotations/Annotation/Regions/Region/Vertices/Vertex`` with
X and Y in pixels; each region is one nucleus. What lies below a folder whose name holds "test" is
for tests. The names begin with the TCGA barcode of the patient. Masks may overlap, as people drew
them; a region that holds no pixel's centre is left out, and the count of these is logged.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.polygons import mask_of_rings
from napari_nunext.images import open_image
from nunext_training.datasets.labelled import LabelledImage
from nunext_training.importers.base import Importer
from nunext_training.importers.reading import (
    NO_CATEGORIES,
    image_beside,
    nuclei_of_masks,
    patient_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.masks import Mask

logger = logging.getLogger(__name__)

MPP = 0.25

_DEPTHS = ("*.xml", "*/*.xml", "*/*/*.xml")


def _annotations(folder: Path) -> list[Path]:
    return sorted(path for depth in _DEPTHS for path in folder.glob(depth))


def _recognises(folder: Path) -> bool:
    return any(path.name.startswith("TCGA-") for path in _annotations(folder))


def _read(folder: Path, mpp: float | None = None) -> tuple[LabelledImage, ...]:
    paths = _annotations(folder)
    if not paths:
        raise RecordError(f"{folder} has no annotations; expected XML files of Aperio ImageScope.")
    return tuple(_read_image(path, folder, mpp) for path in paths)


def _read_image(path: Path, folder: Path, mpp: float | None) -> LabelledImage:
    tissue_images = path.parent.parent / "Tissue Images"
    beside = tissue_images if tissue_images.is_dir() else path.parent
    image_path = image_beside(beside, path.stem, path.name)
    image = open_image(image_path)
    masks = [m.clipped_to(image.width_px, image.height_px) for m in _read_regions(path)]
    drawn = [mask for mask in masks if mask.area_px]
    if len(drawn) < len(masks):
        logger.warning("%s: left out %s regions without pixels", path.name, len(masks) - len(drawn))
    nuclei = nuclei_of_masks(drawn, [UNCATEGORISED] * len(drawn))
    parts = path.relative_to(folder).parts[:-1]
    return LabelledImage(
        name=path.stem,
        path=image_path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split="test" if any("test" in part.lower() for part in parts) else "train",
        patient=patient_of(path.stem, f"monuseg/{path.stem}"),
        masks=nuclei.masks,
    )


def _read_regions(path: Path) -> list[Mask]:
    """The mask of each region; empty for one that holds no pixel's centre."""
    try:
        root = ET.parse(path).getroot()
        regions = root.findall(".//Regions/Region")
        return [
            mask_of_rings([[(float(v.attrib["X"]), float(v.attrib["Y"])) for v in vertices]])
            for region in regions
            if (vertices := region.findall("Vertices/Vertex"))
        ]
    except (ET.ParseError, KeyError, ValueError, OSError) as error:
        raise RecordError(
            f"{path.name} is not an annotation of Aperio ImageScope ({error}); expected Regions "
            "with Vertices that have X and Y."
        ) from error


MONUSEG = Importer(
    name="monuseg",
    title="MoNuSeg and Kumar, many organs at 40x, as XML, no kinds (Kumar et al., TMI 2020)",
    categories=NO_CATEGORIES,
    recognises=_recognises,
    read=_read,
)
