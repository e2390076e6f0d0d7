"""A table of nuclei, one a row, in pixels and in micrometres."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_nunext.core.formats.csv_table import COLUMNS
from napari_nunext.core.geometry import check_mpp
from napari_nunext.store.exports.files import as_marked, replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.marks import MarkedNucleus
    from napari_nunext.store.exports.files import Exportable


def write_csv(path: Path, nuclei: Sequence[Exportable], *, mpp: float, image: str = "") -> None:
    """Write nuclei as CSV (UTF-8, comma, header `COLUMNS`), whole or not at all.

    Parameters
    ----------
    nuclei : sequence of Nucleus or ReviewedNucleus
        In the order of the rows.
    mpp : float
        Micrometres per level-0 pixel.
    image : str
        Name of the image, for every row: tables are put one under the other.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    check_mpp(mpp)
    with replacing(path) as file:
        rows = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        rows.writeheader()
        rows.writerows(_row(n, mpp) | {"image": image} for n in as_marked(nuclei))


def _row(n: MarkedNucleus, mpp: float) -> dict[str, str]:
    """Blank where there is no value: a person's nucleus has no confidence, a point no area."""
    nucleus = n.nucleus
    confidence, mask = nucleus.confidence, nucleus.mask
    return {
        "x_px": f"{nucleus.x_px:.2f}",
        "y_px": f"{nucleus.y_px:.2f}",
        "x_um": f"{nucleus.x_px * mpp:.3f}",
        "y_um": f"{nucleus.y_px * mpp:.3f}",
        "category": nucleus.category,
        "confidence": "" if confidence is None else f"{confidence:.4f}",
        "uid": str(nucleus.uid),
        "area_um2": "" if mask is None else f"{mask.area_px * mpp**2:.3f}",
        **n.marks.to_text(),
    }
