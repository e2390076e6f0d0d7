"""Any folder of images with label images, GeoJSON or CSV.

Layout; the two folders may also lie in ``train/``, ``val/`` and ``test/``::

    images/<name>.png                          or .tif, .jpg
    labels/<name>.png                          or .tif, .npy: a label image, 0 for background
    labels/<name>.geojson                      or .json, also .gz: polygons or points, as QuPath,
                                               CellViT or TIAToolbox write them
    labels/<name>.csv                          columns x and y (or x_px, y_px), perhaps category
    images.csv                                 if wanted: columns image, then patient, tissue,
                                               split, mpp

Read, too, are JSON files of HoVer-Net, CellViT, COCO and labelme, the masks of Cellpose
(``<name>_cp_masks.png``), and HoVer-Net's MATLAB files (``inst_map``, perhaps ``type_map``, whose
numbers become categories). The folders may have other usual names (`label_places`), such as
``Images`` and ``masks``; labels may lie beside their images, and one COCO file may be of all of
them. A binary mask is split into its pieces. Labels of a JPEG or PNG that EXIF turns are turned
with it.

Coordinates are pixels of the image, corner origin: the centre of the first pixel is (0.5, 0.5).
Every image needs its labels; a file without nuclei says that there are none. What a review says of
a nucleus is read from GeoJSON and CSV (`napari_nunext.core.marks`): rejected ones are no nuclei.
The scale is ``--mpp``, else what ``images.csv`` says, else that of the image file. A patient is
what ``images.csv`` says, else the TCGA barcode in the name, else the image stands for one. Without
folders or a column for the split, patients are dealt out by their hash: one in five validates, so
that the same patient is on the same side in every import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import CalibrationError, RecordError
from napari_nunext.core.formats.csv_table import read_rows
from napari_nunext.core.formats.records import SPLITS, RecordNucleus
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.nuclei import points_of
from napari_nunext.images import open_tile
from napari_nunext.images.formats import image_stem
from napari_nunext.images.nuclei_files import read_nuclei_of_one
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.label_places import MAT_SUFFIX, Part, parts_in
from nunext_training.data.importers.reading import (
    check_fits,
    dealt,
    nuclei_of_labels,
    nuclei_of_maps,
    patient_of,
    pseudonym,
    read_mat,
)
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.marks import MarkedNucleus, Marks
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images import Tile
    from napari_nunext.images.nuclei_files import NucleiOfImage
    from nunext_training.data.importers.base import Member

LIST_FILE = "images.csv"


def recognises_folder(folder: Path) -> bool:
    """Whether there are images with labels."""
    return folder.is_dir() and bool(parts_in(folder))


def folder_members(folder: Path, mpp: float | None = None) -> list[Member]:
    """Every image; see `Lister` and the module."""
    parts = parts_in(folder)
    if not parts:
        raise RecordError(
            f"{folder} has no images to import; expected the folders images and labels, labels "
            "beside the images, or either in train, val and test."
        )
    listed = _read_list(folder / LIST_FILE)
    paths = [(path, part) for part in parts for path in part.images]
    unknown = sorted(set(listed) - {image_stem(path) for path, _ in paths})
    if unknown:
        raise RecordError(f"{LIST_FILE} names {unknown[0]!r}, but there is no such image.")
    return [
        partial(_read_image, path, part, listed.get(image_stem(path), {}), mpp)
        for path, part in paths
    ]


def _read_list(path: Path) -> dict[str, dict[str, str]]:
    """What ``images.csv`` says, by the image's name without suffix."""
    if not path.is_file():
        return {}
    rows = read_rows(path)
    if rows and "image" not in rows[0]:
        raise RecordError(f"{path.name} has no column image; it has {', '.join(rows[0])}.")
    for number, row in enumerate(rows, start=2):
        if row.get("split") and row["split"] not in SPLITS:
            raise RecordError(
                f"{path.name} line {number}: split {row['split']!r} is unknown; expected "
                f"{', '.join(SPLITS)}."
            )
    return {image_stem(Path(row["image"])): row for row in rows}


def _said_mpp(path: Path, said: dict[str, str]) -> float | None:
    """Micrometres per pixel that `LIST_FILE` says."""
    words = said.get("mpp")
    if not words:
        return None
    try:
        mpp = float(words)
    except ValueError:
        mpp = math.nan
    return check_mpp(mpp, f"{path.name}, by {LIST_FILE},")


def _read_image(path: Path, part: Part, said: dict[str, str], mpp: float | None) -> LabelledImage:
    name = image_stem(path)
    image = open_tile(path, mpp=mpp or _said_mpp(path, said))
    if image.mpp is None:
        raise CalibrationError(
            f"{path.name} does not say its scale. Import with the micrometres per pixel, for "
            "example --mpp 0.5 (20x) or --mpp 0.25 (40x), or write it into a column mpp of "
            f"{LIST_FILE}."
        )
    labels = _read_labels(part.labels_of(name), image)
    patient = pseudonym(said["patient"]) if said.get("patient") else patient_of(name, name)
    said_split = next((s for s in SPLITS if s == said.get("split")), None)
    return LabelledImage(
        name=name,
        path=path,
        mpp=image.mpp,
        mpp_source=image.mpp_source or "user",
        points_xy=labels.points_xy,
        categories=labels.categories,
        split=part.split or said_split or dealt(patient),
        patient=patient,
        uids=labels.uids,
        marks=labels.marks,
        rejected=labels.rejected,
        masks=labels.masks,
        tissue=said.get("tissue") or None,
        notes=labels.notes,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Labels:
    """The nuclei that a file of labels holds, and those that people rejected."""

    points_xy: PointsXY
    categories: tuple[str, ...]
    masks: tuple[Mask | None, ...] = ()
    """Empty where the file has none."""
    uids: tuple[str | None, ...] = ()
    marks: tuple[Marks, ...] = ()
    rejected: tuple[RecordNucleus, ...] = ()
    notes: tuple[str, ...] = ()


def _read_labels(found: Path | NucleiOfImage, image: Tile) -> _Labels:
    if isinstance(found, Path) and found.suffix.lower() == MAT_SUFFIX:
        return _of_mat(found, image)
    read = read_nuclei_of_one(found, image) if isinstance(found, Path) else found
    notes = tuple(f"{read.path.name}: {note}." for note in read.notes)
    return replace(_of_marked(read.nuclei), notes=notes)


def _of_mat(path: Path, image: Tile) -> _Labels:
    """Labels as HoVer-Net wants them; the number of a kind is its name."""
    labels, *kinds = read_mat(path, "inst_map", perhaps=["type_map"])
    check_fits(labels, image, path.name)
    if not kinds:
        found = nuclei_of_labels(labels)
    else:
        names = {int(kind): f"Class {kind}" for kind in np.unique(kinds[0]) if kind}
        found = nuclei_of_maps(labels, kinds[0], names, path.name)
    return _Labels(found.points_xy, found.categories, found.masks)


def _of_marked(marked: Sequence[MarkedNucleus]) -> _Labels:
    standing = [n for n in marked if n.marks.stands]
    nuclei = [n.nucleus for n in standing]
    masks = tuple(n.mask for n in nuclei)
    return _Labels(
        points_of(nuclei),
        tuple(n.category for n in nuclei),
        masks if any(mask is not None for mask in masks) else (),
        uids=tuple(str(n.nucleus.uid) if n.identified else None for n in standing),
        marks=tuple(n.marks for n in standing),
        rejected=tuple(_recorded(n) for n in marked if not n.marks.stands),
    )


def _recorded(marked: MarkedNucleus) -> RecordNucleus:
    n = marked.nucleus
    return RecordNucleus(n.x_px, n.y_px, n.category, str(n.uid), n.mask, marked.marks)


FOLDER = Importer(
    name="folder",
    title="any folder: images/ and labels/ with label images, GeoJSON or CSV",
    categories=(),
    recognises=recognises_folder,
    members=folder_members,
    licence="yours",
    link="",
    names_are_public=False,
)
