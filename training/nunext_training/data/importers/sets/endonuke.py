"""Tiles of EndoNuke, immunohistochemistry of endometrium (Naumov et al., Data 2022), as points.

Layout, of tiles that were read from a published overview of the set::

    images/<picture>_<number>.png
    points/<picture>_<number>.csv              columns x, y and mpp, which is the same in all rows

Oestrogen and progesterone receptors, diaminobenzidine (DAB) and haematoxylin. The tiles say neither
patient nor split nor whether a nucleus is positive, so all of these are ours: tiles of one picture
stand for a patient, that of `VALIDATES` validates, and a nucleus is positive from `POSITIVE_OD` on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import read_csv, read_rows
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories, points_of
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE
from nunext_training.data.importers.base import Importer
from nunext_training.data.importers.by_stain import told_by_stain
from nunext_training.data.importers.reading import pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.data.importers.base import Member

VALIDATES = "364a2bf"
POSITIVE_OD = 0.4
"""Mean density of DAB, base 10; blue nuclei of these tiles have 0.1 to 0.4."""


def _recognises(folder: Path) -> bool:
    return any(folder.glob("images/*.png")) and any(folder.glob("points/*.csv"))


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    paths = sorted(folder.glob("images/*.png"))
    if not paths:
        raise RecordError(f"{folder} has no tiles; expected images/<picture>_<number>.png.")
    return [partial(_read_tile, path, mpp) for path in paths]


def _read_tile(path: Path, mpp: float | None) -> LabelledImage:
    table = path.parent.parent / "points" / f"{path.stem}.csv"
    points_xy = points_of([marked.nucleus for marked in read_csv(table)])
    picture = path.stem.partition("_")[0]
    tile = LabelledImage(
        name=path.stem,
        path=path,
        mpp=_mpp_of(table) if mpp is None else mpp,
        mpp_source="user",
        points_xy=points_xy,
        categories=(UNCATEGORISED,) * len(points_xy),
        split="val" if picture == VALIDATES else "train",
        patient=pseudonym(f"endonuke/{picture}"),
        tissue="Endometrium",
    )
    return told_by_stain(tile, POSITIVE_OD)


def _mpp_of(table: Path) -> float:
    said = {row.get("mpp") for row in read_rows(table)}
    try:
        (words,) = said
        return check_mpp(float(words or ""), table.name)
    except ValueError:
        raise RecordError(
            f"{table.name} says {len(said)} scales; expected one number in the column mpp, the "
            "same in all rows."
        ) from None


ENDONUKE = Importer(
    name="endonuke",
    title="EndoNuke, IHC of endometrium, by how brown nuclei are (Naumov et al., Data 2022)",
    categories=default_categories((POSITIVE, NEGATIVE)),
    recognises=_recognises,
    members=_members,
    licence="CC BY 4.0",
    link="https://doi.org/10.3390/data7060075",
)
