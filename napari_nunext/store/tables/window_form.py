"""The form of a row of predictions: arrays as bytes, little-endian.

Of n nuclei, in the order in which the model gave them: `xy` has float64 (n, 2), `confidence`
float64 with NaN for none, `position_error_um` the same or nothing where all are none, `category`
uint16, places in `names`, and `uids` 16 bytes each, or nothing where they follow from run, window
and place (`napari_nunext.core.uids`). Masks have the
`places` of their nuclei in the row, uint32, and a sum over all their bytes: they are unpacked long
after they were read, when it is too late to say that they are damaged.
"""

from __future__ import annotations

import json
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.packed_masks import PackedMasks
from napari_nunext.core.uids import UID_BYTES, UidIndex, uids_in_windows
from napari_nunext.store.entries import check_predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Row

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids

_NUMBER, _CATEGORY, _PLACE, _BYTE = (np.dtype(kind) for kind in ("<f8", "<u2", "<u4", "u1"))


def columns_of(nuclei: Predictions, *, with_uids: bool) -> dict[str, Any]:
    """Nuclei as the columns of a row, without their masks."""
    names, category = nuclei.names, nuclei.category.astype(_CATEGORY)
    if len(names) > len(nuclei):
        used, places = np.unique(category, return_inverse=True)
        names, category = tuple(names[at] for at in used), places.astype(_CATEGORY)
    return {
        "n": len(nuclei),
        "names": _as_json(names),
        "category": category.tobytes(),
        "xy": nuclei.points_xy.astype(_NUMBER).tobytes(),
        "confidence": nuclei.confidence.astype(_NUMBER).tobytes(),
        "uids": nuclei.uids.tobytes() if with_uids else None,
        "position_error_um": _said_ones(nuclei.position_error_um),
    }


def mask_columns_of(masks: Mapping[int, Mask]) -> dict[str, Any]:
    """Masks, by the place of their nucleus in its row, as the columns of a row of masks."""
    places = np.array(list(masks), dtype=_PLACE).tobytes()
    packed = PackedMasks.of(masks.values()).data
    return {"places": places, "masks": packed, "crc32": _sum(places, packed)}


def places_of(column: bytes) -> list[int]:
    """The places of nuclei whose masks are in a row of masks."""
    places: list[int] = _array(column, _PLACE).tolist()
    return places


def uids_of(columns: Sequence[bytes]) -> Uids:
    """The uids of several rows."""
    return _array(b"".join(columns), _BYTE).reshape(-1, UID_BYTES)


def predictions_of(run_id: str, rows: Sequence[Row[Any]], masks: Sequence[Row[Any]]) -> Predictions:
    """The nuclei of a run's rows, in their order.

    Raises
    ------
    ValueError
        If the rows hold what nobody wrote.
    """
    if not rows:
        return Predictions.of()
    counts = np.array([row.n for row in rows], dtype=np.int64)
    if (counts < 0).any():
        raise ValueError(f"a window of run {run_id} has a negative number of nuclei")
    names, category = _categories(rows, counts)
    nuclei = Predictions(
        _uids(run_id, rows, counts),
        _column(rows, counts, "xy", _NUMBER, 2).reshape(-1, 2),
        category,
        names,
        _column(rows, counts, "confidence", _NUMBER),
        _masks(rows, counts, masks),
        _position_errors(rows, counts),
    )
    check_predictions([nuclei])
    return nuclei


def _said_ones(values: NDArray[np.float64]) -> bytes | None:
    """A column of numbers; nothing where there is none."""
    return None if np.isnan(values).all() else values.astype(_NUMBER).tobytes()


def _position_errors(rows: Sequence[Row[Any]], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    name = "position_error_um"
    said = np.array([getattr(row, name) is not None for row in rows])
    made = np.full(counts.sum(), np.nan)
    if said.any():
        with_it = [row for row, is_said in zip(rows, said, strict=True) if is_said]
        made[np.repeat(said, counts)] = _column(with_it, counts[said], name, _NUMBER)
    return made


def _column(
    rows: Sequence[Row[Any]],
    counts: NDArray[np.int64],
    name: str,
    kind: np.dtype[Any],
    width: int = 1,
) -> NDArray[Any]:
    blobs = [getattr(row, name) for row in rows]
    if list(map(len, blobs)) != (counts * width * kind.itemsize).tolist():
        raise ValueError(f"{name} of a window has another length")
    return _array(b"".join(blobs), kind)


def _categories(
    rows: Sequence[Row[Any]], counts: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.uint16]]:
    """The categories of all rows, and of each nucleus its place among them."""
    said = {text: json.loads(text) for text in dict.fromkeys(row.names for row in rows)}
    if not all(map(_is_names, said.values())):
        raise ValueError("categories of a window are no list of names")
    names = tuple(dict.fromkeys(name for part in said.values() for name in part))
    at = {name: place for place, name in enumerate(names)}
    places = np.array([at[name] for part in said.values() for name in part], dtype=np.uint16)
    sizes = list(map(len, said.values()))
    starts = dict(zip(said, np.cumsum([0, *sizes]).tolist(), strict=False))
    category = _column(rows, counts, "category", _CATEGORY).astype(np.int64)
    known = np.repeat([len(said[row.names]) for row in rows], counts)
    if (category >= known).any():
        raise ValueError("a nucleus has a category that is out of range")
    return names, places[np.repeat([starts[row.names] for row in rows], counts) + category]


def _uids(run_id: str, rows: Sequence[Row[Any]], counts: NDArray[np.int64]) -> Uids:
    kept = np.array([row.uids is not None for row in rows])
    numbers = [row.number for row in rows if row.uids is None]
    placed = uids_in_windows(run_id, numbers, counts[~kept].tolist())
    if not kept.any():
        return placed
    is_kept = np.repeat(kept, counts)
    uids = np.empty((len(is_kept), UID_BYTES), dtype=np.uint8)
    uids[~is_kept] = placed
    with_uids = [row for row in rows if row.uids is not None]
    uids[is_kept] = _column(with_uids, counts[kept], "uids", _BYTE, UID_BYTES).reshape(
        -1, UID_BYTES
    )
    if UidIndex(uids).has_twins:
        raise ValueError("two nuclei have one uid")
    return uids


def _masks(
    rows: Sequence[Row[Any]], counts: NDArray[np.int64], packs: Sequence[Row[Any]]
) -> MaskColumn:
    number = np.full(counts.sum(), -1, dtype=np.int64)
    at = {row.position: place for place, row in enumerate(rows)}
    sizes = [len(pack.places) // _PLACE.itemsize for pack in packs]
    places = _array(b"".join(pack.places for pack in packs), _PLACE).astype(np.int64)
    window = np.repeat(np.array([at[pack.run_window] for pack in packs], np.int64), sizes)
    if (
        [pack.crc32 for pack in packs] != [_sum(pack.places, pack.masks) for pack in packs]
        or len(places) != len(window)
        or (places >= counts[window]).any()
    ):
        raise ValueError("masks are not those that were written")
    number[(np.cumsum(counts) - counts)[window] + places] = np.arange(len(places))
    return MaskColumn([PackedMasks(p.masks, s) for p, s in zip(packs, sizes, strict=True)], number)


def _sum(places: bytes, masks: bytes) -> int:
    return zlib.crc32(masks, zlib.crc32(places))


def _array(data: bytes, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(data, dtype=kind).astype(kind.newbyteorder("="), copy=False)


@lru_cache
def _as_json(names: tuple[str, ...]) -> str:
    """Names of categories as JSON; a run says the same in each window."""
    return json.dumps(names, ensure_ascii=False)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
