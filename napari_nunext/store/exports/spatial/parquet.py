"""Tables as Parquet: the columns of CSV with their types, for pandas and spatial biology.

SpatialData takes such a file for points as it is::

    import dask.dataframe as dd
    from spatialdata.models import PointsModel

    points = PointsModel.parse(
        dd.read_parquet("slide.parquet"),
        coordinates={"x": "x_um", "y": "y_um"},
        feature_key="category",
    )
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import StoreError
from napari_nunext.core.formats.csv_table import COLUMNS
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.process.installed import installed
from napari_nunext.store.exports.files import replacing_file
from napari_nunext.store.exports.rows import in_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.exports.rows import Rows

EXTRA = "napari-nunext[spatial]"
_NUMBERS = ("x_px", "y_px", "x_um", "y_um", "confidence", "area_um2", "position_error_um")
_WORDS = ("category", "status", "annotator", "origin", "image")
"""Of which few different ones stand in a file."""


def write_parquet(path: Path, nuclei: Iterable[Exportable], *, mpp: float, image: str = "") -> None:
    """Write nuclei as Parquet, whole or not at all, some thousand at a time.

    The columns are `COLUMNS`, in that order: numbers are float64, `flagged` is a truth value, and
    what has no value is null. Scale and name of the image stand in the file's metadata, too, under
    ``napari-nunext``.

    Parameters
    ----------
    nuclei : iterable of Nucleus or ReviewedNucleus
        In the order of the rows; rejected ones are among them, and say so.
    mpp : float
        Micrometres per level-0 pixel.
    image : str
        Name of the image, for every row.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    StoreError
        If pyarrow is not installed, the disk is full or the folder cannot be written.
    """
    check_mpp(mpp)
    pa: Any = installed("pyarrow", f"To write {path.name}", EXTRA, StoreError)
    pq: Any = installed("pyarrow.parquet", f"To write {path.name}", EXTRA, StoreError)
    types = dict.fromkeys(_NUMBERS, pa.float64())
    types |= dict.fromkeys(_WORDS, pa.dictionary(pa.int32(), pa.string()))
    types |= {"uid": pa.string(), "flagged": pa.bool_()}
    said = {"napari-nunext": json.dumps({"mpp": mpp, "image": image})}
    schema = pa.schema([(name, types[name]) for name in COLUMNS], metadata=said)
    with (
        replacing_file(path) as sibling,
        pq.ParquetWriter(sibling, schema, compression="zstd") as file,
    ):
        for rows in in_chunks(nuclei):
            columns = _columns(rows, mpp, image)
            arrays = [pa.array(columns[name], types[name]) for name in COLUMNS]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _columns(rows: Rows, mpp: float, image: str) -> dict[str, Any]:
    x_px, y_px = (np.array(column, dtype=np.float64) for column in (rows.x_px, rows.y_px))
    return {
        "x_px": x_px,
        "y_px": y_px,
        "x_um": x_px * mpp,
        "y_um": y_px * mpp,
        "category": rows.categories,
        "confidence": rows.confidences,
        "status": [marks.status for marks in rows.marks],
        "annotator": [marks.annotator for marks in rows.marks],
        "uid": rows.uids,
        "area_um2": [None if mask is None else mask.area_px * mpp**2 for mask in rows.masks],
        "flagged": [marks.flagged for marks in rows.marks],
        "origin": [marks.origin for marks in rows.marks],
        "image": [image] * len(rows),
        "position_error_um": rows.position_errors_um,
    }
