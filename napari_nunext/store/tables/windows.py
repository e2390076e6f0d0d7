"""What a run said, a window a row; `window_form` has the form of a row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, delete, exc, insert, select

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.uids import UidIndex, as_uids, place_in_window, uids_in_windows, windows_of
from napari_nunext.store.entries import check_predictions
from napari_nunext.store.tables import hidden, schema
from napari_nunext.store.tables.window_form import (
    columns_of,
    mask_columns_of,
    places_of,
    predictions_of,
    uids_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from napari_nunext.core.predictions import Predictions
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids
    from napari_nunext.store.entries import RunFound, RunWindow, WindowFinish

BATCH = 256
"""Nuclei in a row that come from no window: their masks are unpacked together."""
_ASKED = 500
"""Values in a query, of which databases take so many."""


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

    @property
    def _mine(self) -> ColumnElement[bool]:
        return schema.run_window.c.run == self._run

    # Writing

    def add(self, windows: Sequence[RunWindow]) -> None:
        """Append windows that are done.

        Raises
        ------
        StoreError
            If one is there already.
        InputError
            If a nucleus is not what a model may say, or its uid is not of the run and the window.
        """
        _, kept = self._unplaced()
        follow = self._follow([window.number for window in windows], [w.nuclei for w in windows])
        parts = [
            window.nuclei if follows and not len(kept) else self._besides(kept, window)
            for window, follows in zip(windows, follow, strict=True)
        ]
        try:
            self._insert(
                parts,
                [{"number": window.number, "finish": window.finish} for window in windows],
            )
        except exc.IntegrityError as error:
            raise StoreError(
                f"Run {self._run_id} is done with one of these already; a window is recorded once."
            ) from error

    def _besides(self, kept: Uids, window: RunWindow) -> Predictions:
        """The nuclei of a window but those that were kept before it was done."""
        nuclei = window.nuclei
        if (windows_of(self._run_id, nuclei.uids) != window.number).any():
            raise InputError(
                f"Nuclei of run {self._run_id} have uids of another run or window than "
                f"{window.number}; see uids_in_windows."
            )
        if nuclei.by_uid.has_twins:
            raise self._twins()
        if not len(kept):
            return nuclei
        return nuclei.at(np.flatnonzero(UidIndex(kept).rows_of(nuclei.uids) < 0))

    def keep(self, nuclei: Predictions) -> None:
        """Append those nuclei of windows that are not done which are not there yet.

        They get their masks as all others do.
        """
        numbers = windows_of(self._run_id, nuclei.uids)
        done = [row.number for row in self._numbered(np.unique(numbers).tolist())]
        _, kept = self._unplaced()
        is_there = np.isin(numbers, done) | (UidIndex(kept).rows_of(nuclei.uids) >= 0)
        new = nuclei.at(np.flatnonzero(~is_there))
        self._insert_unplaced(replace(new, masks=MaskColumn.without_any(len(new))))

    def add_unplaced(self, nuclei: Predictions) -> None:
        """Append nuclei of no window, or of one that is not done, and keep their uids.

        Raises
        ------
        StoreError
            If a uid is there twice.
        InputError
            If a nucleus is not what a model may say.
        """
        done = set(windows_of(self._run_id, nuclei.uids).tolist()) - {-1}
        if nuclei.by_uid.has_twins or self._numbered(sorted(done)):
            raise self._twins()
        _, kept = self._unplaced()
        if len(kept) and (UidIndex(kept).rows_of(nuclei.uids) >= 0).any():
            raise self._twins()
        self._insert_unplaced(nuclei)

    def add_masks(self, masks: Mapping[UUID, Mask]) -> None:
        """Record masks of predictions, each of which gets at most one.

        Raises
        ------
        StoreError
            If a uid is not a prediction of the run, or has a mask already.
        """
        found = self._located(masks)
        table = schema.window_masks.c
        masked = 0
        for part in _parts(list(found)):
            query = select(table.run_window, table.places).where(table.run_window.in_(part))
            for position, places in self._connection.execute(query):
                masked += len(found[position].keys() & set(places_of(places)))
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

    def drop_unfinished(self, named: Uids) -> Uids:
        """Forget what was found in windows that are not done: they are searched again.

        Parameters
        ----------
        named : ndarray, shape (N, 16)
            Nuclei that stay nevertheless: somebody has said something of them.

        Returns
        -------
        ndarray, shape (M, 16)
            Those of them that were found in such windows.
        """
        rows, masks = schema.run_window, schema.window_masks
        is_unplaced = rows.c.number.is_(None)
        nuclei = self.predictions(is_unplaced)
        of_done = np.isin(windows_of(self._run_id, nuclei.uids), list(self.done()))
        is_named = UidIndex(named).rows_of(nuclei.uids) >= 0
        unplaced = select(rows.c.position).where(self._mine, is_unplaced)
        self._connection.execute(delete(masks).where(masks.c.run_window.in_(unplaced)))
        self._connection.execute(delete(rows).where(self._mine, is_unplaced))
        self._insert_unplaced(nuclei.at(np.flatnonzero(of_done | is_named)))
        return nuclei.uids[is_named & ~of_done]

    # Reading

    def done(self) -> dict[int, WindowFinish]:
        """The windows that are there, by number, and how each ended."""
        table = schema.run_window.c
        query = select(table.number, table.finish).where(self._mine, table.number.is_not(None))
        rows = self._connection.execute(query.order_by(table.number))
        return {row.number: row.finish for row in rows}

    def predictions(self, *which: ColumnElement[bool]) -> Predictions:
        """What the run said, all or in these rows, window by window.

        What is of no window comes last, as it was recorded: the order does not tell in which the
        windows were searched.
        """
        window, masks = schema.run_window, schema.window_masks
        rows = self._connection.execute(
            select(window)
            .where(self._mine, *which)
            .order_by(window.c.number.is_(None), window.c.number, window.c.position)
        ).all()
        drawn = self._connection.execute(
            select(masks)
            .join(window, window.c.position == masks.c.run_window)
            .where(self._mine, *which)
            .order_by(masks.c.position)
        ).all()
        return predictions_of(self._run_id, rows, drawn)

    def hidden(self) -> Uids:
        """What the server took back for good, shape (N, 16)."""
        return hidden.read(self._connection, self._run)

    # Inside

    def _insert(self, parts: Sequence[Predictions], more: Sequence[dict[str, Any]]) -> None:
        """Write nuclei, a row a part, with the other columns of that row."""
        check_predictions(parts)
        follow = self._follow([columns["number"] for columns in more], parts)
        rows = [
            columns_of(nuclei, with_uids=not follows) | columns | {"run": self._run}
            for nuclei, columns, follows in zip(parts, more, follow, strict=True)
        ]
        if rows:
            self._connection.execute(insert(schema.run_window), rows)
        if any(nuclei.masks.drawn.any() for nuclei in parts):
            self._insert_masks(
                {
                    position: {
                        place: mask for place, mask in enumerate(nuclei.masks) if mask is not None
                    }
                    for position, nuclei in zip(self._last(len(parts)), parts, strict=True)
                }
            )

    def _insert_unplaced(self, nuclei: Predictions) -> None:
        parts = [nuclei[start : start + BATCH] for start in range(0, len(nuclei), BATCH)]
        self._insert(parts, [{"number": None, "finish": "end"}] * len(parts))

    def _follow(
        self, numbers: Sequence[int | None], parts: Sequence[Predictions]
    ) -> Sequence[bool]:
        """Of each part whether its uids follow from run, window and place: nobody keeps them.

        Those of a part that are in no window do not.
        """
        counts = np.array([len(nuclei) for nuclei in parts], dtype=np.int64)
        said = np.concatenate([as_uids(()), *(nuclei.uids for nuclei in parts)])
        placed = uids_in_windows(self._run_id, [number or 0 for number in numbers], counts.tolist())
        strange = np.concatenate([[0], np.cumsum((said != placed).any(axis=1))])
        ends = np.cumsum(counts)
        follows = (strange[ends] == strange[ends - counts]).tolist()
        return [is_so and n is not None for is_so, n in zip(follows, numbers, strict=True)]

    def _insert_masks(self, masks: Mapping[int, Mapping[int, Mask]]) -> None:
        """Record the masks of nuclei by the position of their row and their place in it."""
        rows = [mask_columns_of(drawn) | {"run_window": at} for at, drawn in masks.items() if drawn]
        if rows:
            self._connection.execute(insert(schema.window_masks), rows)

    def _last(self, count: int) -> list[int]:
        """The positions of the last rows."""
        table = schema.run_window.c
        query = select(table.position).where(self._mine).order_by(table.position.desc())
        return list(self._connection.scalars(query.limit(count)))[::-1]

    def _twins(self) -> StoreError:
        return StoreError(
            f"Run {self._run_id} would have two nuclei of one uid; each nucleus has its own."
        )

    def _numbered(self, numbers: Sequence[int]) -> list[Any]:
        """Number, position, count and uids of those of these windows that are there."""
        table = schema.run_window.c
        query = select(table.number, table.position, table.n, table.uids).where(self._mine)
        return [
            row
            for part in _parts(numbers)
            for row in self._connection.execute(query.where(table.number.in_(part)))
        ]

    def _unplaced(self) -> tuple[list[tuple[int, int]], Uids]:
        """Of the nuclei of no window the position of their row and place in it, and their uids."""
        table = schema.run_window.c
        query = select(table.position, table.n, table.uids)
        rows = self._connection.execute(
            query.where(self._mine, table.number.is_(None)).order_by(table.position)
        ).all()
        where = [(row.position, place) for row in rows for place in range(row.n)]
        return where, uids_of([row.uids for row in rows])

    def _located(self, masks: Mapping[UUID, Mask]) -> dict[int, dict[int, Mask]]:
        """The masks of known nuclei, by the position of their row and their place in it."""
        found: dict[int, dict[int, Mask]] = defaultdict(dict)
        by_number: dict[int, dict[UUID, Mask]] = defaultdict(dict)
        others: dict[UUID, Mask] = {}
        for uid, mask in masks.items():
            at = place_in_window(self._run_id, uid)
            (others if at is None else by_number[at[0]])[uid] = mask
        for row in self._numbered(list(by_number)):
            mine = by_number.pop(row.number)
            for (uid, mask), place in zip(mine.items(), self._places(row, mine), strict=True):
                if place >= 0:
                    found[row.position][place] = mask
                else:
                    others[uid] = mask
        for mine in by_number.values():
            others |= mine
        if others:
            where, uids = self._unplaced()
            rows = UidIndex(uids).rows_of(as_uids(others)).tolist()
            for at_row, mask in zip(rows, others.values(), strict=True):
                if at_row >= 0:
                    position, place = where[at_row]
                    found[position][place] = mask
        return found

    def _places(self, row: Any, uids: Collection[UUID]) -> list[int]:
        """The place of each nucleus in the row of its window; -1 where it is not there."""
        if row.uids is not None:
            places: list[int] = UidIndex(uids_of([row.uids])).rows_of(as_uids(uids)).tolist()
            return places
        said = (place_in_window(self._run_id, uid) for uid in uids)
        return [at[1] if at is not None and at[1] < row.n else -1 for at in said]


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _ASKED):
        yield values[start : start + _ASKED]
