"""MoNuSAC: 4 organs at 40x, outlines in XML with 4 kinds (Verma et al., TMI 2021).

Layout: a folder for each patient, below one of the split::

    MoNuSAC_images_and_annotations/TCGA-5P-A9K0-01Z-00-DX1/TCGA-5P-A9K0-01Z-00-DX1_1.tif
    MoNuSAC_images_and_annotations/TCGA-5P-A9K0-01Z-00-DX1/TCGA-5P-A9K0-01Z-00-DX1_1.xml
    MoNuSAC Testing Data and Annotations/TCGA-2Z-A9JG-01Z-00-DX1/TCGA-2Z-A9JG-01Z-00-DX1_1.tif
    ...

The XML is that of `image_scope`: an ``Annotation`` for each kind, which its ``Attribute`` names.
Some images of the test part came as SVS alone; these are read too. What lies below a folder whose
name holds "test" is for tests. Regions called ambiguous are areas in which the annotators could not
tell nuclei apart: they are no nuclei, left out and counted, and so are regions without pixels. A
kind of another name is no category here: its nuclei stay, and are counted.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.images import image_stem, open_tile
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.image_scope import annotations_in, kinds_in, read_regions
from nunext_training.data.importers.reading import image_beside, nuclei_of_masks, patient_of
from nunext_training.data.importers.sets.monuseg import split_of_folder
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Member

MPP = 0.25

CATEGORIES = ("Epithelial", "Lymphocyte", "Macrophage", "Neutrophil")
AMBIGUOUS = "ambiguous"

_OF_KIND = {name.casefold(): name for name in CATEGORIES}


def _recognises(folder: Path) -> bool:
    paths = annotations_in(folder)[:20]  # an image may hold no nucleus
    return any(kinds_in(path) & {*_OF_KIND, AMBIGUOUS} for path in paths)


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    paths = annotations_in(folder)
    if not paths:
        raise RecordError(f"{folder} has no annotations; expected XML files of Aperio ImageScope.")
    return [partial(_read_image, path, folder, mpp) for path in paths]


def _read_image(path: Path, folder: Path, mpp: float | None) -> LabelledImage:
    image_path = image_beside(path.parent, path.stem, path.name, ".svs")
    image = open_tile(image_path)
    left_out: Counter[str] = Counter()
    masks, kinds = [], []
    for region in read_regions(path):
        mask = region.mask.clipped_to(image.width_px, image.height_px)
        if region.kind.casefold() == AMBIGUOUS:
            left_out["ambiguous regions"] += 1
        elif not mask.area_px:
            left_out["regions without pixels"] += 1
        else:
            masks.append(mask)
            kinds.append(region.kind)
    categories = [_OF_KIND.get(kind.casefold(), UNCATEGORISED) for kind in kinds]
    nuclei = nuclei_of_masks(masks, categories)
    return LabelledImage(
        name=image_stem(image_path),
        path=image_path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=split_of_folder(path, folder),
        patient=patient_of(path.stem, f"monusac/{path.stem}"),
        masks=nuclei.masks,
        notes=tuple(f"{path.name}: left out {n} {what}." for what, n in sorted(left_out.items())),
        unsorted=tuple(kind or "no kind" for kind in kinds if kind.casefold() not in _OF_KIND),
    )


MONUSAC = Importer(
    name="monusac",
    title="MoNuSAC, 4 organs at 40x, as XML, 4 kinds (Verma et al., TMI 2021)",
    categories=default_categories(CATEGORIES),
    recognises=_recognises,
    members=_members,
    licence="CC BY-NC-SA 4.0",
    link="https://monusac-2020.grand-challenge.org/Data/",
    not_carried="ambiguous regions; organs: the files do not say them",
)
