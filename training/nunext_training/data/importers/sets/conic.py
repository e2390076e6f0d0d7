"""CoNIC: Lizard in patches of 256 px at 20x, 6 kinds (Graham et al., MedIA 2024).

Layout::

    images.npy      (N, 256, 256, 3), RGB 0..255
    labels.npy      (N, 256, 256, 2): instances, then the kind of each pixel
    patch_info.csv  a row a patch, the source image and its number: consep_1-0000
    counts.csv      nuclei of each kind; not read, as it counts by the challenge's own rule

The challenge kept its test to itself. All patches of one source image stand for one patient, and
one in five of these validates. Without ``patch_info.csv`` each patch would stand for one: that is
refused. The arrays are read patch by patch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import read_rows
from napari_nunext.core.nuclei import default_categories
from nunext_training.data.importers.arrays import load_array, open_slice
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.reading import dealt, nuclei_of_maps, pseudonym, whole_numbers
from nunext_training.data.importers.sets.lizard import KINDS, MPP, TISSUE
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nunext_training.data.importers.base import Member

_FILES = ("images.npy", "labels.npy", "patch_info.csv")


def _data_folder(folder: Path) -> Path | None:
    """The folder of the arrays: this one, or one directly in it."""
    paths = [folder / "labels.npy", *sorted(folder.glob("*/labels.npy"))]
    return next((p.parent for p in paths if p.is_file()), None)


def _recognises(folder: Path) -> bool:
    found = _data_folder(folder)
    return found is not None and (found / "images.npy").is_file()


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    found = _data_folder(folder)
    if found is None:
        raise RecordError(f"{folder} has no labels of CoNIC; expected {', '.join(_FILES)}.")
    missing = [name for name in _FILES if not (found / name).is_file()]
    if missing:
        raise RecordError(f"{found.name} misses {', '.join(missing)}. Unpack its archive again.")
    images, labels = (load_array(found / name) for name in _FILES[:2])
    patches = [row.get("patch_info", "") for row in read_rows(found / _FILES[2])]
    fits = (
        images.ndim == labels.ndim == 4
        and images.shape[3] == 3
        and labels.shape[3] == 2
        and images.shape[:3] == labels.shape[:3]
        and len(patches) == len(images)
        and all(patches)
    )
    if not fits:
        raise RecordError(
            f"{found.name} has images {images.shape}, labels {labels.shape} and {len(patches)} "
            "rows in patch_info.csv; expected (N, H, W, 3), (N, H, W, 2) and N rows with a name in "
            "the column patch_info."
        )
    return [
        partial(_read_patch, found / _FILES[0], labels, index, name, mpp)
        for index, name in enumerate(patches)
    ]


def _read_patch(
    images: Path, labels: NDArray[Any], index: int, name: str, mpp: float | None
) -> LabelledImage:
    what = f"labels.npy, patch {index} ({name})"
    instances, kinds = (whole_numbers(np.asarray(labels[index, :, :, c]), what) for c in (0, 1))
    nuclei = nuclei_of_maps(instances, kinds, KINDS, what)
    patient = pseudonym(f"lizard/{name.rpartition('-')[0] or name}")
    return LabelledImage(
        name=name,
        path=images.parent / name,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=dealt(patient),
        patient=patient,
        masks=nuclei.masks,
        tissue=TISSUE,
        unsorted=nuclei.unsorted,
        opener=partial(open_slice, images, index, name),
    )


CONIC = Importer(
    name="conic",
    title="CoNIC, Lizard in patches of 256 px, 6 kinds (Graham et al., MedIA 2024)",
    categories=default_categories(KINDS.values()),
    recognises=_recognises,
    members=_members,
    licence="CC BY-NC-SA 4.0",
    link="https://conic-challenge.grand-challenge.org",
    not_carried="`counts.csv`",
)
