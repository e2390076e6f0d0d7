"""A table of nuclei, one a row, in pixels and in micrometres."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_nunext.core.geometry import check_mpp
from napari_nunext.store.exports.files import as_reviewed, replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.folding import ReviewedNucleus

COLUMNS = (
    "x_px",
    "y_px",
    "x_um",
    "y_um",
    "category",
    "confidence",
    "status",
    "annotator",
    "uid",
    "area_um2",
)


def write_csv(path: Path, nuclei: Sequence[Exportable], *, mpp: float) -> None:
    """Write nuclei as CSV (UTF-8, comma, header `COLUMNS`), whole or not at all.

    Parameters
    ----------
    nuclei : sequence of Nucleus or ReviewedNucleus
        In the order of the rows.
    mpp : float
        Micrometres per level-0 pixel.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    check_mpp(mpp)
    with replacing(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(_row(n, mpp) for n in as_reviewed(nuclei))


def _row(n: ReviewedNucleus, mpp: float) -> tuple[str, ...]:
    """Blank where there is no value: a person's nucleus has no confidence, a point no area."""
    nucleus = n.nucleus
    confidence, mask = nucleus.confidence, nucleus.mask
    return (
        f"{nucleus.x_px:.2f}",
        f"{nucleus.y_px:.2f}",
        f"{nucleus.x_px * mpp:.3f}",
        f"{nucleus.y_px * mpp:.3f}",
        nucleus.category,
        "" if confidence is None else f"{confidence:.4f}",
        n.status,
        n.annotator or "",
        str(n.uid),
        "" if mask is None else f"{mask.area_px * mpp**2:.3f}",
    )
