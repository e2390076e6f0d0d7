"""NuInsSeg: 31 organs of people and mice at 40x, no kinds (Mahbod et al., Sci. Data 2024).

Layout, with a folder for each organ::

    human bladder/tissue images/human_bladder_01.png
    human bladder/label masks modify/human_bladder_01.tif      instance labels; else label masks/
    human bladder/ambiguous area masks/human_bladder_01.tif    not read

ImageJ's outlines lie beside these too; the label masks are made of them and are read instead. The
files hold no scale: 40x is taken as 0.25 um a pixel. People and animals are not told apart: each
folder stands for a patient, and one in five of these validates.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.reading import (
    check_fits,
    dealt,
    nuclei_of_labels,
    pseudonym,
    read_label_image,
)
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Member

MPP = 0.25

IMAGES = "tissue images"
LABELS = ("label masks modify", "label masks")
"""The first that holds the image's labels is read."""


def _images(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/{IMAGES}/*.png"))


def _recognises(folder: Path) -> bool:
    return any(
        any((path.parent.parent / labels).is_dir() for labels in LABELS)
        for path in _images(folder)[:1]
    )


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    paths = _images(folder)
    if not paths:
        raise RecordError(
            f"{folder} has no images of NuInsSeg; expected a folder for each organ with "
            f"'{IMAGES}' and '{LABELS[0]}'."
        )
    return [partial(_read_image, path, mpp) for path in paths]


def _read_image(path: Path, mpp: float | None) -> LabelledImage:
    organ = path.parent.parent
    candidates = [organ / labels / f"{path.stem}.tif" for labels in LABELS]
    found = next((p for p in candidates if p.is_file()), None)
    if found is None:
        raise RecordError(f"{organ.name}/{LABELS[0]}/{path.stem}.tif is missing.")
    labels = read_label_image(found)
    check_fits(labels, open_tile(path), f"{organ.name}/{found.parent.name}/{found.name}")
    nuclei = nuclei_of_labels(labels)
    patient = pseudonym(f"nuinsseg/{organ.name}")
    return LabelledImage(
        name=path.stem,
        path=path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="assumed" if mpp is None else "user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split=dealt(patient),
        patient=patient,
        masks=nuclei.masks,
        tissue=organ.name.capitalize(),
    )


NUINSSEG = Importer(
    name="nuinsseg",
    title="NuInsSeg, 31 organs of people and mice at 40x, no kinds (Mahbod et al., 2024)",
    categories=NO_CATEGORIES,
    recognises=_recognises,
    members=_members,
    licence="see the link",
    link="https://www.kaggle.com/datasets/ipateam/nuinsseg",
    not_carried="the masks of ambiguous areas, in which nuclei may be missing; ImageJ's outlines",
)
