"""Nuclei as AnnData (``.h5ad``), for scanpy, squidpy and SpatialData's tables.

Written by h5py in the layout that AnnData documents: anndata itself wants all observations in the
memory, and its versions that install under our constraints cannot write the text of pandas 3.

References
----------
"On-disk format", anndata 0.12: the encodings ``anndata`` 0.1.0, ``dataframe``, ``categorical``,
``array``, ``string-array``, ``numeric-scalar`` and ``string`` 0.2.0, ``dict`` 0.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import StoreError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.predictions import numbers_of
from napari_nunext.core.process.installed import installed
from napari_nunext.store.exports.files import replacing_file
from napari_nunext.store.exports.rows import CHUNK, standing_in
from napari_nunext.store.exports.spatial.parquet import EXTRA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.exports.rows import Rows

_NUMBERS = ("confidence", "area_um2", "position_error_um")
_WORDS = ("category", "status", "annotator", "origin")
_COLUMNS = (
    *("category", "confidence", "area_um2", "status", "annotator", "flagged", "origin"),
    "position_error_um",
)


def write_anndata(path: Path, nuclei: Iterable[Exportable], *, mpp: float, image: str = "") -> None:
    """Write the nuclei that stand as observations without variables, whole or not at all.

    ``obs`` has their uids as names, and `_COLUMNS`; ``obsm["spatial"]`` their places (x, y) in
    level-0 px, ``obsm["spatial_um"]`` in micrometres; ``uns`` has ``mpp`` and ``image``.

    Parameters
    ----------
    nuclei : iterable of Nucleus or ReviewedNucleus
        Rejected ones are left out.
    mpp : float
        Micrometres per level-0 pixel.
    image : str
        Name of the image.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    StoreError
        If h5py is not installed, the disk is full or the folder cannot be written.
    """
    check_mpp(mpp)
    h5py: Any = installed("h5py", f"To write {path.name}", EXTRA, StoreError)
    with replacing_file(path) as sibling, h5py.File(sibling, "w") as file:
        _say(file, "anndata", "0.1.0")
        obs, text = file.create_group("obs"), h5py.string_dtype()
        _say(obs, "dataframe", "0.2.0")
        obs.attrs["_index"] = "_index"
        obs.attrs.create("column-order", list(_COLUMNS), dtype=text)
        growing = {name: _column(obs, name, np.float64) for name in _NUMBERS}
        growing["flagged"] = _column(obs, "flagged", np.bool_)
        growing["_index"] = _column(obs, "_index", text, encoding="string-array")
        codes: dict[str, dict[str, int]] = {name: {} for name in _WORDS}
        for name in _WORDS:
            _say(obs.create_group(name), "categorical", "0.2.0").attrs["ordered"] = False
            growing[name] = _column(obs[name], "codes", np.int32)
        obsm = _say(file.create_group("obsm"), "dict", "0.1.0")
        growing |= {
            name: _column(obsm, name, np.float64, across=2) for name in ("spatial", "spatial_um")
        }
        for rows in standing_in(nuclei):
            for name, values in _values(rows, mpp, codes).items():
                _append(growing[name], values)
        for name in _WORDS:
            _texts(obs[name], "categories", list(codes[name]), text)
        var = _say(file.create_group("var"), "dataframe", "0.2.0")
        var.attrs["_index"] = "_index"
        var.attrs.create("column-order", [], dtype=text)
        _texts(var, "_index", [], text)
        for name in ("layers", "obsp", "uns", "varm", "varp"):
            _say(file.create_group(name), "dict", "0.1.0")
        _say(file["uns"].create_dataset("mpp", data=mpp), "numeric-scalar", "0.2.0")
        _say(file["uns"].create_dataset("image", data=image, dtype=text), "string", "0.2.0")


def _say(item: Any, encoding: str, version: str) -> Any:
    """Name what a group or a dataset is, and return it."""
    item.attrs["encoding-type"], item.attrs["encoding-version"] = encoding, version
    return item


def _column(group: Any, name: str, dtype: Any, *, across: int = 0, encoding: str = "array") -> Any:
    """A dataset that rows are appended to."""
    wide = (across,) if across else ()
    made = group.create_dataset(
        name,
        shape=(0, *wide),
        maxshape=(None, *wide),
        chunks=(CHUNK, *wide),
        dtype=dtype,
        compression="gzip",
        compression_opts=1,
    )
    return _say(made, encoding, "0.2.0")


def _append(dataset: Any, values: Any) -> None:
    start = len(dataset)
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


def _texts(group: Any, name: str, values: list[str], text: Any) -> None:
    _say(group.create_dataset(name, data=values, dtype=text), "string-array", "0.2.0")


def _values(rows: Rows, mpp: float, codes: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What is appended to each dataset; `codes` grow by the words that are new."""
    words: dict[str, Sequence[str | None]] = {
        "category": rows.categories,
        "status": [marks.status for marks in rows.marks],
        "annotator": [marks.annotator for marks in rows.marks],
        "origin": [marks.origin for marks in rows.marks],
    }
    points_xy = np.array([rows.x_px, rows.y_px], dtype=np.float64).T.reshape(-1, 2)
    areas = [np.nan if mask is None else mask.area_px * mpp**2 for mask in rows.masks]
    return {
        "_index": rows.uids,
        "spatial": points_xy,
        "spatial_um": points_xy * mpp,
        "confidence": numbers_of(rows.confidences),
        "position_error_um": numbers_of(rows.position_errors_um),
        "area_um2": areas,
        "flagged": [marks.flagged for marks in rows.marks],
        **{name: [_code(codes[name], word) for word in column] for name, column in words.items()},
    }


def _code(known: dict[str, int], word: str | None) -> int:
    """Place of a word among the categories; -1, as pandas has it, for none."""
    return -1 if word is None else known.setdefault(word, len(known))
