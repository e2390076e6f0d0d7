"""MoNuSeg, which holds Kumar: many organs at 40x, outlines in XML (Kumar et al., 2017 and 2020).

Layout: each ``<name>.xml`` has its ``<name>.tif`` beside it, or in the folder ``Tissue Images``
beside its own folder::

    MoNuSeg 2018 Training Data/Tissue Images/TCGA-A7-A13E-01Z-00-DX1.tif
    MoNuSeg 2018 Training Data/Annotations/TCGA-A7-A13E-01Z-00-DX1.xml
    MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.tif
    MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.xml

The XML is that of `image_scope`. What lies below a folder whose name holds "test" is for tests.
The names begin with the TCGA barcode of the patient. A region that holds no pixel's centre is left
out, and counted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.image_scope import annotations_in, read_regions
from nunext_training.data.importers.reading import image_beside, nuclei_of_masks, patient_of
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.base import Member

MPP = 0.25


def _recognises(folder: Path) -> bool:
    return any(path.name.startswith("TCGA-") for path in annotations_in(folder))


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    paths = annotations_in(folder)
    if not paths:
        raise RecordError(f"{folder} has no annotations; expected XML files of Aperio ImageScope.")
    return [partial(_read_image, path, folder, mpp) for path in paths]


def _read_image(path: Path, folder: Path, mpp: float | None) -> LabelledImage:
    tissue_images = path.parent.parent / "Tissue Images"
    beside = tissue_images if tissue_images.is_dir() else path.parent
    image_path = image_beside(beside, path.stem, path.name)
    image = open_tile(image_path)
    regions = read_regions(path)
    kinds = sorted({region.kind for region in regions} - {""})
    if kinds:
        raise RecordError(
            f"{path.name} has kinds of nuclei ({', '.join(kinds)}), and MoNuSeg has none. Import "
            "it by the name of its own data set: monusac."
        )
    masks = [r.mask.clipped_to(image.width_px, image.height_px) for r in regions]
    drawn = [mask for mask in masks if mask.area_px]
    empty = len(masks) - len(drawn)
    nuclei = nuclei_of_masks(drawn, [UNCATEGORISED] * len(drawn))
    return LabelledImage(
        name=path.stem,
        path=image_path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=split_of_folder(path, folder),
        patient=patient_of(path.stem, f"monuseg/{path.stem}"),
        masks=nuclei.masks,
        notes=(f"{path.name}: left out {empty} regions without pixels.",) if empty else (),
    )


def split_of_folder(path: Path, folder: Path) -> Split:
    """For tests where a folder between says so."""
    parts = path.relative_to(folder).parts[:-1]
    return "test" if any("test" in part.lower() for part in parts) else "train"


MONUSEG = Importer(
    name="monuseg",
    title="MoNuSeg and Kumar, many organs at 40x, as XML, no kinds (Kumar et al., TMI 2020)",
    categories=NO_CATEGORIES,
    recognises=_recognises,
    members=_members,
    licence="CC BY-NC-SA 4.0",
    link="https://monuseg.grand-challenge.org/Data/",
    not_carried="organs: the files do not say them",
)
