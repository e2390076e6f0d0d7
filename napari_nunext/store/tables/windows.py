"""What a run said, a window a row: arrays as bytes, little-endian.

Of n nuclei, in the order in which the model gave them: `xy` has float64 (n, 2), `confidence`
float64 with NaN for none, `category` uint16, places in `names`, and `uids` 16 bytes each, or
nothing where they follow from run, window and place (`napari_nunext.core.uids`). What is read is
checked: values that nobody wrote are a ValueError that says what is wrong.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Row, delete, select

from napari_nunext.core.errors import RecordError, StoreError
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.packed_masks import PackedMasks
from napari_nunext.core.uids import (
    UID_BYTES,
    UidIndex,
    as_uids,
    place_in_window,
    uids_in_windows,
)
from napari_nunext.store.entries import RunWindow, check_predictions
from napari_nunext.store.tables import hidden, schema
from napari_nunext.store.tables.rows import append_rows, as_array

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids
    from napari_nunext.store.entries import RunFound, WindowFinish

BATCH = 256
"""Nuclei in a row that come from no window: their masks are unpacked together."""
_ASKED = 500
"""Values in a query, of which databases take so many."""

_XY, _CONFIDENCE, _CATEGORY, _PLACE = (np.dtype(kind) for kind in ("<f8", "<f8", "<u2", "<u4"))


class Windows:
    """The rows of one run, inside a transaction.

    Parameters
    ----------
    connection : Connection
        Of the transaction.
    run_id : str
        The run.
    run : int
        Its position in the table of runs.
    """

    def __init__(self, connection: Connection, run_id: str, run: int) -> None:
        self._connection = connection
        self._run_id = run_id
        self._run = run
        table = schema.run_window.c
        self._mine = table.run == run

    # Writing

    def add(self, windows: Sequence[RunWindow]) -> None:
        """Append windows that are done.

        Raises
        ------
        StoreError
            If one is there already.
        InputError
            If a nucleus is not what a model may say, or has another uid than it should.
        """
        there = {number for number, *_ in self._numbered([w.number for w in windows])}
        for window in windows:
            if window.number in there:
                raise StoreError(
                    f"Window {window.number} of run {self._run_id} is in the project already; a "
                    "window is recorded once."
                )
            there.add(window.number)
            want = uids_in_windows(self._run_id, [window.number], [len(window.nuclei)])
            if not np.array_equal(window.nuclei.uids, want):
                raise RecordError(
                    f"Nuclei of window {window.number} of run {self._run_id} have other uids than "
                    "follow from run, window and place; see uids_in_windows."
                )
        self._insert([(w.number, w.finish, w.nuclei) for w in windows])

    def add_unplaced(self, nuclei: Predictions) -> None:
        """Append nuclei that come from no window, and keep their uids.

        Raises
        ------
        StoreError
            If a uid is there twice.
        InputError
            If a nucleus is not what a model may say.
        """
        earlier = self._uids()
        if nuclei.by_uid.has_twins or (UidIndex(earlier).rows_of(nuclei.uids) >= 0).any():
            raise StoreError(
                f"Run {self._run_id} would have two nuclei of one uid; each nucleus has its own."
            )
        self._insert(
            [(None, "end", nuclei[start : start + BATCH]) for start in range(0, len(nuclei), BATCH)]
        )

    def add_masks(self, masks: Mapping[UUID, Mask]) -> None:
        """Record masks of predictions, each of which gets at most one.

        Raises
        ------
        StoreError
            If a uid is not a prediction of the run, or has a mask already.
        """
        found = self._located(masks)
        table = schema.window_masks
        masked = 0
        for part in _parts(list(found)):
            query = select(table.c.run_window, table.c.places)
            for position, places in self._connection.execute(
                query.where(table.c.run_window.in_(part))
            ):
                masked += len(found[position].keys() & set(as_array(places, _PLACE).tolist()))
        unknown = len(masks) - sum(map(len, found.values()))
        if unknown or masked:
            raise StoreError(
                f"Masks of run {self._run_id}: {unknown} are of nuclei it did not predict and "
                f"{masked} of nuclei that have one. Use edit_mask to correct a mask."
            )
        self._insert_masks(found)

    def add_found(self, found: RunFound) -> None:
        """Record what was found since the last time; errors are those of the parts."""
        self.add(found.windows)
        self.turn(found.hidden, stand=False)
        self.turn(found.back, stand=True)
        self.add_masks(found.masks)

    def turn(self, uids: Collection[UUID], *, stand: bool) -> None:
        """Record that the server took predictions back, or that they stand again."""
        hidden.turn(self._connection, self._run, as_uids(uids), stand=stand)

    def drop_unplaced(self) -> None:
        """Forget what was found in windows that are not done: they are searched again."""
        rows, masks = schema.run_window, schema.window_masks
        unplaced = select(rows.c.position).where(self._mine, rows.c.number.is_(None))
        self._connection.execute(delete(masks).where(masks.c.run_window.in_(unplaced)))
        self._connection.execute(delete(rows).where(self._mine, rows.c.number.is_(None)))

    # Reading

    def done(self) -> dict[int, WindowFinish]:
        """The windows that are there, by number, and how each ended."""
        table = schema.run_window.c
        query = select(table.number, table.finish).where(self._mine, table.number.is_not(None))
        rows = self._connection.execute(query.order_by(table.number))
        return {row.number: row.finish for row in rows}

    def predictions(self) -> Predictions:
        """All that the run said, in the order in which it was recorded."""
        table = schema.run_window
        rows = self._connection.execute(
            select(table).where(self._mine).order_by(table.c.position)
        ).all()
        if not rows:
            return Predictions.of()
        counts = np.array([row.n for row in rows], dtype=np.int64)
        if (counts < 0).any():
            raise ValueError(f"a window of run {self._run_id} has a negative number of nuclei")
        names, category = self._categories(rows, counts)
        nuclei = Predictions(
            self._all_uids(rows, counts),
            self._column(rows, counts, "xy", _XY, 2).reshape(-1, 2),
            category,
            names,
            self._column(rows, counts, "confidence", _CONFIDENCE),
            self._masks(rows, counts),
        )
        check_predictions(nuclei)
        return nuclei

    def hidden(self) -> Uids:
        """What the server took back for good, shape (N, 16)."""
        return hidden.read(self._connection, self._run)

    # Inside

    def _insert(self, windows: Sequence[tuple[int | None, WindowFinish, Predictions]]) -> None:
        rows = []
        for number, finish, nuclei in windows:
            check_predictions(nuclei)
            names, category = nuclei.names, nuclei.category.astype(_CATEGORY)
            if len(names) > len(nuclei):
                used, places = np.unique(category, return_inverse=True)
                names, category = tuple(names[at] for at in used), places.astype(_CATEGORY)
            rows.append(
                {
                    "run": self._run,
                    "number": number,
                    "finish": finish,
                    "n": len(nuclei),
                    "names": json.dumps(names, ensure_ascii=False),
                    "category": category.tobytes(),
                    "xy": nuclei.points_xy.astype(_XY).tobytes(),
                    "confidence": nuclei.confidence.astype(_CONFIDENCE).tobytes(),
                    "uids": nuclei.uids.tobytes() if number is None else None,
                }
            )
        first = append_rows(self._connection, schema.run_window, rows)
        drawn = {
            first + at: {
                place: mask
                for place in np.flatnonzero(nuclei.masks.drawn).tolist()
                if (mask := nuclei.masks[place]) is not None
            }
            for at, (*_, nuclei) in enumerate(windows)
            if nuclei.masks.drawn.any()
        }
        self._insert_masks(drawn)

    def _insert_masks(self, masks: Mapping[int, Mapping[int, Mask]]) -> None:
        """Record the masks of nuclei by the position of their window and their place in it."""
        rows = []
        for position, drawn in masks.items():
            places = np.array(list(drawn), dtype=_PLACE).tobytes()
            packed = PackedMasks.of(drawn.values()).data
            rows.append(
                {
                    "run_window": position,
                    "places": places,
                    "masks": packed,
                    "crc32": zlib.crc32(packed, zlib.crc32(places)),
                }
            )
        append_rows(self._connection, schema.window_masks, rows)

    def _numbered(self, numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Of these windows, those that are there: number, position, how many nuclei."""
        table = schema.run_window.c
        for part in _parts(numbers):
            query = select(table.number, table.position, table.n)
            for row in self._connection.execute(query.where(self._mine, table.number.in_(part))):
                yield row.number, row.position, row.n

    def _uids(self) -> Uids:
        """The uids that had to be kept, in the order of the rows."""
        return self._kept()[1]

    def _kept(self) -> tuple[NDArray[np.int64], Uids]:
        """The same, and before them of each the position of its row and its place in that."""
        table = schema.run_window.c
        query = select(table.position, table.uids).where(self._mine, table.uids.is_not(None))
        rows = self._connection.execute(query.order_by(table.position)).all()
        counts = np.array([len(uids) // UID_BYTES for _, uids in rows], dtype=np.int64)
        where = np.empty((counts.sum(), 2), dtype=np.int64)
        where[:, 0] = np.repeat(np.array([position for position, _ in rows], np.int64), counts)
        where[:, 1] = np.arange(len(where)) - np.repeat(np.cumsum(counts) - counts, counts)
        return where, as_array(b"".join(uids for _, uids in rows), np.dtype(np.uint8)).reshape(
            -1, 16
        )

    def _located(self, masks: Mapping[UUID, Mask]) -> dict[int, dict[int, Mask]]:
        """Masks by the position of the row of their nucleus, and its place there."""
        found: dict[int, dict[int, Mask]] = defaultdict(dict)
        by_number: dict[int, dict[int, Mask]] = defaultdict(dict)
        others: dict[UUID, Mask] = {}
        for uid, mask in masks.items():
            at = place_in_window(self._run_id, uid)
            if at is None:
                others[uid] = mask
            else:
                by_number[at[0]][at[1]] = mask
        for number, position, n in self._numbered(list(by_number)):
            known = {place: m for place, m in by_number[number].items() if place < n}
            if known:
                found[position] = known
        if others:
            where, uids = self._kept()
            rows = UidIndex(uids).rows_of(as_uids(others))
            for row, mask in zip(rows.tolist(), others.values(), strict=True):
                if row >= 0:
                    position, place = where[row].tolist()
                    found[position][place] = mask
        return found

    def _categories(
        self, rows: Sequence[Row[Any]], counts: NDArray[np.int64]
    ) -> tuple[tuple[str, ...], NDArray[np.uint16]]:
        """The categories of all rows, and of each nucleus its place among them."""
        said = {text: json.loads(text) for text in {row.names for row in rows}}
        if not all(map(_is_names, said.values())):
            raise ValueError(f"categories of run {self._run_id} are no list of names")
        names = tuple(dict.fromkeys(name for part in said.values() for name in part))
        at = {name: place for place, name in enumerate(names)}
        starts: dict[str, tuple[int, int]] = {}
        translated: list[int] = []
        for text, part in said.items():
            starts[text] = (len(translated), len(part))
            translated += [at[name] for name in part]
        bounds = np.array([starts[row.names] for row in rows], dtype=np.int64)
        category = self._column(rows, counts, "category", _CATEGORY).astype(np.int64)
        start, known = np.repeat(bounds, counts, axis=0).T
        if (category >= known).any():
            raise ValueError(f"a nucleus of run {self._run_id} has a category that is out of range")
        return names, np.array(translated, dtype=np.uint16)[start + category]

    def _column(
        self,
        rows: Sequence[Row[Any]],
        counts: NDArray[np.int64],
        name: str,
        kind: np.dtype[Any],
        width: int = 1,
    ) -> NDArray[Any]:
        blobs = [getattr(row, name) for row in rows]
        if [len(blob) for blob in blobs] != (counts * width * kind.itemsize).tolist():
            raise ValueError(f"{name} of a window of run {self._run_id} has another length")
        return as_array(b"".join(blobs), kind)

    def _all_uids(self, rows: Sequence[Row[Any]], counts: NDArray[np.int64]) -> Uids:
        placed = np.array([row.uids is None for row in rows])
        kept = [row for row in rows if row.uids is not None]
        uids = np.empty((counts.sum(), UID_BYTES), dtype=np.uint8)
        is_placed = np.repeat(placed, counts)
        numbers = [row.number for row in rows if row.uids is None]
        uids[is_placed] = uids_in_windows(self._run_id, numbers, counts[placed].tolist())
        uids[~is_placed] = self._column(
            kept, counts[~placed], "uids", np.dtype(np.uint8), UID_BYTES
        ).reshape(-1, UID_BYTES)
        if kept and UidIndex(uids).has_twins:
            raise ValueError(f"two nuclei of run {self._run_id} have one uid")
        return uids

    def _masks(self, rows: Sequence[Row[Any]], counts: NDArray[np.int64]) -> MaskColumn:
        table = schema.window_masks
        packs = self._connection.execute(
            select(table)
            .join(schema.run_window, schema.run_window.c.position == table.c.run_window)
            .where(self._mine)
            .order_by(table.c.position)
        ).all()
        number = np.full(counts.sum(), -1, dtype=np.int64)
        starts = np.cumsum(counts) - counts
        at = {row.position: place for place, row in enumerate(rows)}
        many = np.array([len(pack.places) // _PLACE.itemsize for pack in packs], dtype=np.int64)
        places = as_array(b"".join(pack.places for pack in packs), _PLACE).astype(np.int64)
        window = np.repeat(np.array([at[pack.run_window] for pack in packs], np.int64), many)
        told = [pack.crc32 for pack in packs]
        if (
            len(places) != many.sum()
            or (places >= counts[window]).any()
            or told != [zlib.crc32(pack.masks, zlib.crc32(pack.places)) for pack in packs]
        ):
            raise ValueError(f"masks of run {self._run_id} are not those that were written")
        number[starts[window] + places] = np.arange(len(places))
        return MaskColumn(
            [
                PackedMasks(pack.masks, size)
                for pack, size in zip(packs, many.tolist(), strict=True)
            ],
            number,
        )


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _ASKED):
        yield values[start : start + _ASKED]


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
