"""PUMA: melanoma at 40x, 10 kinds (Schuiveling et al., GigaScience 2025).

Layout, as the archives unpack, all below one folder::

    01_training_dataset_tif_ROIs/training_set_metastatic_roi_001.tif
    01_training_dataset_geojson_nuclei/training_set_metastatic_roi_001_nuclei.geojson
    01_training_dataset_geojson_tissue/...       not read

The kinds are classifications such as ``nuclei_plasma_cell``; other ones are no categories here:
their nuclei stay, and are counted. The scale is that of the image, else 0.23 um a pixel. Patients
are not known: each image stands for one, and one in five validates; the challenge kept its test.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.geojson import read_noted_geojson
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import dealt, nuclei_in_image, pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Member

MPP = 0.23

KINDS = {
    "nuclei_tumor": "Tumor",
    "nuclei_lymphocyte": "Lymphocyte",
    "nuclei_plasma_cell": "Plasma cell",
    "nuclei_histiocyte": "Histiocyte",
    "nuclei_melanophage": "Melanophage",
    "nuclei_neutrophil": "Neutrophil",
    "nuclei_stroma": "Stroma",
    "nuclei_endothelium": "Endothelium",
    "nuclei_epithelium": "Epithelium",
    "nuclei_apoptosis": "Apoptosis",
}

_SUFFIX = "_nuclei.geojson"
_DEPTHS = ("*", "*/*", "*/*/*")
_SPECIMENS = ("metastatic", "primary")


def _label_files(folder: Path) -> list[Path]:
    return sorted(path for depth in _DEPTHS for path in folder.glob(f"{depth}{_SUFFIX}"))


def _recognises(folder: Path) -> bool:
    return bool(_label_files(folder))


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    labels = _label_files(folder)
    if not labels:
        raise RecordError(f"{folder} has no nuclei of PUMA; expected files named *{_SUFFIX}.")
    images = {path.stem: path for depth in _DEPTHS for path in folder.glob(f"{depth}.tif")}
    return [
        partial(_read_image, path, images.get(path.name.removesuffix(_SUFFIX)), mpp)
        for path in labels
    ]


def _read_image(path: Path, image_path: Path | None, mpp: float | None) -> LabelledImage:
    name = path.name.removesuffix(_SUFFIX)
    if image_path is None:
        raise RecordError(f"{path.name} has no image: expected {name}.tif.")
    image = open_tile(image_path, mpp=mpp)
    read = read_noted_geojson(path, masks=True)
    found = [n.nucleus for n in read.nuclei]
    nuclei, outside = nuclei_in_image(
        [(n.x_px, n.y_px) for n in found],
        [n.mask for n in found],
        [n.category for n in found],
        image,
    )
    notes = (*read.notes, *((f"left out {outside} nuclei beyond the image",) if outside else ()))
    specimen = next((s for s in _SPECIMENS if s in name), None)
    patient = pseudonym(f"puma/{name}")
    return LabelledImage(
        name=name,
        path=image_path,
        mpp=image.mpp or MPP,
        mpp_source=image.mpp_source or "assumed",
        points_xy=nuclei.points_xy,
        categories=tuple(KINDS.get(c, UNCATEGORISED) for c in nuclei.categories),
        split=dealt(patient),
        patient=patient,
        masks=nuclei.masks,
        tissue=f"Melanoma, {specimen}" if specimen else "Melanoma",
        notes=tuple(f"{path.name}: {note}." for note in notes),
        unsorted=tuple(_said(c) for c in nuclei.categories if c not in KINDS),
    )


def _said(category: str) -> str:
    return "no classification" if category == UNCATEGORISED else category


PUMA = Importer(
    name="puma",
    title="PUMA, melanoma at 40x, 10 kinds (Schuiveling et al., GigaScience 2025)",
    categories=default_categories(KINDS.values()),
    recognises=_recognises,
    members=_members,
    licence="CC0",
    link="https://zenodo.org/records/13859989",
    not_carried="outlines of tissue; the context around each region",
)
