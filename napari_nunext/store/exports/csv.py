"""A table of nuclei, one a row, in pixels and in micrometres."""

from __future__ import annotations

import csv
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.formats.csv_table import COLUMNS
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.marks import ANNOTATOR, FLAGGED, ORIGIN, STATUS
from napari_nunext.store.exports.files import replacing
from napari_nunext.store.exports.rows import in_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.marks import Marks
    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.exports.rows import Rows


def write_csv(
    path: Path,
    nuclei: Iterable[Exportable],
    *,
    mpp: float,
    image: str = "",
    measurements: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Write nuclei as CSV (UTF-8, comma, header `COLUMNS`), whole or not at all.

    Parameters
    ----------
    nuclei : iterable of Nucleus or ReviewedNucleus
        In the order of the rows.
    mpp : float
        Micrometres per level-0 pixel.
    image : str
        Name of the image, for every row: tables are put one under the other.
    measurements : mapping of str to ndarray, shape (N,), optional
        More columns, by name; blank for NaN.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    check_mpp(mpp)
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        more = measurements or {}
        table.writerow((*COLUMNS, *more))
        start = 0
        for rows in in_chunks(nuclei):
            here = slice(start, start + len(rows))
            columns = [_cells(values[here]) for values in more.values()]
            lines = zip(_lines(rows, mpp, image), *columns, strict=True)
            table.writerows((*line, *cells) for line, *cells in lines)
            start = here.stop


def _lines(rows: Rows, mpp: float, image: str) -> Iterator[tuple[str, ...]]:
    """Blank where there is no value: a person's nucleus has no confidence, a point no area."""
    for uid, x_px, y_px, category, confidence, error_um, mask, marks in rows:
        said = _said(marks)
        yield (
            f"{x_px:.2f}",
            f"{y_px:.2f}",
            f"{x_px * mpp:.3f}",
            f"{y_px * mpp:.3f}",
            category,
            "" if confidence is None else f"{confidence:.4f}",
            said[STATUS],
            said[ANNOTATOR],
            uid,
            "" if mask is None else f"{mask.area_px * mpp**2:.3f}",
            said[FLAGGED],
            said[ORIGIN],
            image,
            "" if error_um is None else f"{error_um:.4f}",
        )


def _cells(values: NDArray[np.float64]) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.6f}" for value in values]


@lru_cache(maxsize=1024)
def _said(marks: Marks) -> dict[str, str]:
    return {STATUS: "", ANNOTATOR: "", FLAGGED: "", ORIGIN: ""} | marks.to_text()
