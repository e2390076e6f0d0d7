"""The nuclei of a state as columns: what is drawn, counted and looked up in large fields.

What runs said is in columns already (`NucleusMap.ground`), which are taken as they are. Only what
people touched is read from objects (`store.state.touched`).

A column of all takes some milliseconds where there are a million. What is shown of a view asks for
the rows that lie in it, and for the columns of these: that takes as long however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.uids import as_uids, as_uuids
from napari_nunext.store.state.nucleus_map import NucleusMap
from napari_nunext.store.state.touched import Touched, places_in_sorted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids
    from napari_nunext.store import FieldState, ReviewedNucleus


@dataclass(frozen=True, eq=False)
class NucleusTable:
    """The nuclei of one state, N rows in the state's order, rejected ones included.

    A column is made when somebody first asks for it.
    """

    of: NucleusMap
    over: Touched

    @classmethod
    def empty(cls) -> NucleusTable:
        """Of no nuclei."""
        return cls(NucleusMap(), Touched.none())

    def after(self, state: FieldState | None) -> NucleusTable:
        """The table of another state; what is the same in both is not read again."""
        if state is None:
            return NucleusTable.empty()
        return NucleusTable(state.nuclei, self.over.after(state.nuclei))

    # Columns

    @cached_property
    def points_xy(self) -> PointsXY:
        """Centroids, level-0 px, corner origin, shape (N, 2)."""
        return self._column(self.of.ground.said.points_xy, self.over.points_xy)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """NaN where a person placed the nucleus."""
        return self._column(self.of.ground.said.confidence, self.over.confidence)

    @cached_property
    def position_error_um(self) -> NDArray[np.float64]:
        """NaN where nobody says, or a person placed or moved the nucleus."""
        return self._column(self.of.ground.said.position_error_um, self.over.position_error_um)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the categories, those that no nucleus has any more included."""
        return tuple(dict.fromkeys((*self.of.ground.called, *self.over.names)))

    @cached_property
    def category(self) -> NDArray[np.intp]:
        """Position in `names`."""
        ground, over = self._codes
        return self._column(ground[self.of.ground.said.category], over[self.over.category])

    @property
    def _codes(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Position in `names` of each category of the ground, and of what people touched."""
        place = {name: at for at, name in enumerate(self.names)}
        called, touched = self.of.ground.called, self.over.names
        return (
            np.array([place[name] for name in called], dtype=np.intp),
            np.array([place[name] for name in touched], dtype=np.intp),
        )

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Whether any event of a person is about it."""
        return self._column(np.zeros(len(self.of.ground), bool), np.ones(len(self.over.ids), bool))

    @cached_property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether a person said that it is wrong."""
        return self._column(np.zeros(len(self.of.ground), bool), self.over.rejected)

    @cached_property
    def mask_ids(self) -> NDArray[np.int64]:
        """A number for each mask; 0 where a nucleus has none. The same number, the same mask."""
        return self._column(self.of.ground.mask_keys, self.over.mask_ids)

    @cached_property
    def mask_boxes_px(self) -> NDArray[np.int64]:
        """Crop of each mask, level-0 px, from corner to corner: x0, y0, x1, y1, shape (N, 4)."""
        return self._column(self.of.ground.said.masks.boxes_px, self.over.mask_boxes_px)

    @cached_property
    def uids(self) -> Uids:
        """Identities, shape (N, 16)."""
        ground = self.of.ground.said.uids
        added = as_uids(self.of.added)
        return self._column(ground, np.concatenate((ground[self._changed], added)))

    def _column(self, ground: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
        """A column of all, from that of the ground and that of what people touched."""
        rows, touched = self._rows
        if len(rows) == len(ground) and not len(over):
            return ground
        made = np.empty((len(self), *ground.shape[1:]), ground.dtype)
        # A mode in which numpy does not take a copy first: all rows are there.
        np.take(ground, rows, axis=0, out=made[: len(rows)], mode="clip")
        made[touched] = over[: len(touched)]
        made[len(rows) :] = over[len(touched) :]
        return made

    @cached_property
    def _rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the ground that stand, and where those of them that people touched are here."""
        return np.flatnonzero(self.of.stands), self._places_of(self._changed)

    @cached_property
    def _gone(self) -> NDArray[np.intp]:
        """Rows of the ground in which nothing stands any more, ascending."""
        return np.sort([row for row, n in self.of.changed.items() if n is None]).astype(np.intp)

    @cached_property
    def _changed(self) -> NDArray[np.intp]:
        """Rows of the ground that people touched and that stand, as `over` has them."""
        changed = (row for row, nucleus in self.of.changed.items() if nucleus is not None)
        return np.fromiter(changed, dtype=np.intp)

    @property
    def _ground_size(self) -> int:
        """How many rows of the ground stand: the first ones here."""
        return len(self.of.ground) - len(self._gone)

    def _places_of(self, ground: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where rows of the ground that stand are here."""
        return ground - np.searchsorted(self._gone, ground)

    def _ground_rows(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Inverse of `_places_of`."""
        stand_before = self._gone - np.arange(len(self._gone))
        return rows + np.searchsorted(stand_before, rows, side="right")

    def standing(self) -> Predictions:
        """The nuclei that count, without masks; of the categories, those that they have."""
        rows = np.flatnonzero(~self.rejected)
        used, category = np.unique(self.category[rows], return_inverse=True)
        return Predictions(
            uids=self.uids[rows],
            points_xy=self.points_xy[rows],
            category=category.astype(np.uint16),
            names=tuple(self.names[place] for place in used.tolist()),
            confidence=self.confidence[rows],
            masks=MaskColumn.without_any(len(rows)),
            position_error_um=self.position_error_um[rows],
        )

    # Nuclei

    def __len__(self) -> int:
        return self._ground_size + len(self.of.added)

    def nuclei_at(self, rows: Iterable[int] | NDArray[np.intp]) -> list[ReviewedNucleus]:
        """The nuclei of some rows, in that order."""
        wanted, size = np.fromiter(rows, dtype=np.intp), self._ground_size
        is_added = wanted >= size
        ground, added = (
            self.of.at(self._ground_rows(wanted[~is_added])),
            list(self.of.added.values()),
        )
        return [added[row - size] if row >= size else next(ground) for row in wanted.tolist()]

    def masks_at(self, rows: NDArray[np.intp]) -> list[Mask | None]:
        """The masks of the nuclei of some rows, in that order; nothing else of them is made."""
        part, said = self.part(rows), self.of.ground.said.masks
        edited = iter(self.nuclei_at(rows[part.touched]))
        ground = iter(part.untouched_rows.tolist())
        return [
            next(edited).nucleus.mask if is_touched else said[next(ground)]
            for is_touched in part.touched.tolist()
        ]

    def uids_at(self, rows: Iterable[int] | NDArray[np.intp]) -> list[UUID]:
        """The identities of the nuclei of some rows, in that order."""
        return as_uuids(self.part(np.fromiter(rows, dtype=np.intp)).uids)

    def rows_of(self, uids: Iterable[UUID]) -> NDArray[np.intp]:
        """The rows of those of some nuclei that stand, ascending."""
        uids = list(uids)
        if not uids:
            return np.empty(0, dtype=np.intp)
        added = {uid: row for row, uid in enumerate(self.of.added, start=self._ground_size)}
        ground = self.of.ground.said.rows_of(as_uids(uid for uid in uids if uid not in added))
        ground = ground[(ground >= 0) & ~np.isin(ground, self._gone)]
        return np.sort(
            [*self._places_of(ground), *(added[uid] for uid in uids if uid in added)]
        ).astype(np.intp)

    def rows_within(self, box: Box) -> NDArray[np.intp]:
        """The rows of the nuclei whose centroid lies in a box, ascending."""
        ground, changed = self.of.ground.places.rows_within(box), self._changed
        if self.of.changed:
            ground = ground[~np.isin(ground, [*self.of.changed])]
        touched = np.flatnonzero(box.contains(self.over.points_xy))
        is_added = touched >= len(changed)
        return np.concatenate(
            (
                np.sort(
                    np.concatenate(
                        (self._places_of(ground), self._places_of(changed[touched[~is_added]]))
                    )
                ),
                touched[is_added] - len(changed) + self._ground_size,
            )
        )

    def part(self, rows: NDArray[np.intp]) -> Part:
        """The columns of some rows, in that order."""
        return Part(self, rows)

    def is_sure(self, sure_above: float) -> NDArray[np.bool_]:
        """As `editing.is_sure` has it, for every row."""
        return self.touched | ~(self.confidence < sure_above)

    def is_of(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows have one of these categories."""
        return self._is_of(names)[self.category]

    def _is_of(self, names: Iterable[str]) -> NDArray[np.bool_]:
        wanted = set(names)
        return np.array([name in wanted for name in self.names], dtype=bool)

    def unsure(self, sure_above: float) -> int:
        """How many nuclei are not sure: what a person touched is, whatever they said of it."""
        confidence = self.of.ground.said.confidence
        changed = confidence[[*self.of.changed]]
        return int((confidence < sure_above).sum() - (changed < sure_above).sum())

    def counts(self) -> dict[str, int]:
        """How many nuclei stand in each category, rejected ones not counted."""
        ground = self.of.ground
        changed = ground.said.category[[*self.of.changed]]
        return self._counted(ground.counted, changed, ~self.over.rejected)

    def counts_within(self, box: Box) -> dict[str, int]:
        """The same of those whose centroid lies in a box."""
        ground = self.of.ground
        changed = np.fromiter(self.of.changed, dtype=np.intp, count=len(self.of.changed))
        changed = changed[box.contains(ground.said.points_xy[changed])]
        counts = ground.places.counts_within(box)
        touched = ~self.over.rejected & box.contains(self.over.points_xy)
        return self._counted(counts, ground.said.category[changed], touched)

    def _counted(
        self,
        ground: NDArray[np.int64],
        changed: NDArray[np.uint16],
        touched: NDArray[np.bool_],
    ) -> dict[str, int]:
        """Counts of the ground by code, less rows that people changed, and what they touched."""
        counts = dict.fromkeys(self.names, 0)
        left = ground - np.bincount(changed, minlength=len(ground))
        for name, count in zip(self.of.ground.called, left.tolist(), strict=True):
            counts[name] += count
        over = np.bincount(self.over.category[touched], minlength=len(self.over.names))
        for name, count in zip(self.over.names, over.tolist(), strict=True):
            counts[name] += count
        return counts


class Part:
    """Some rows of a table, as its columns.

    Parameters
    ----------
    table : NucleusTable
    rows : ndarray of int, shape (N,)
    """

    def __init__(self, table: NucleusTable, rows: NDArray[np.intp]) -> None:
        self._table = table
        size, changed = table._ground_size, table._changed
        self._is_added = rows >= size
        self._ground = table._ground_rows(rows[~self._is_added])
        self._over = np.full(len(rows), -1, dtype=np.intp)
        self._over[self._is_added] = rows[self._is_added] - size + len(changed)
        order = np.argsort(changed)
        at = places_in_sorted(changed[order], self._ground)
        self._over[~self._is_added] = np.where(at < 0, -1, order[at]) if len(order) else -1

    def __len__(self) -> int:
        return len(self._over)

    def _column(self, ground: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
        """From a column of the rows that are of the ground, and that of what people touched."""
        made = np.empty((len(self), *ground.shape[1:]), ground.dtype)
        made[~self._is_added] = ground
        touched = self._over >= 0
        made[touched] = over[self._over[touched]]
        return made

    @property
    def _said(self) -> Predictions:
        return self._table.of.ground.said

    @cached_property
    def points_xy(self) -> PointsXY:
        """Centroids, level-0 px, corner origin, shape (N, 2)."""
        return self._column(self._said.points_xy[self._ground], self._table.over.points_xy)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """NaN where a person placed the nucleus."""
        return self._column(self._said.confidence[self._ground], self._table.over.confidence)

    @cached_property
    def position_error_um(self) -> NDArray[np.float64]:
        """NaN where nobody says, or a person placed or moved the nucleus."""
        said = self._said.position_error_um[self._ground]
        return self._column(said, self._table.over.position_error_um)

    @cached_property
    def category(self) -> NDArray[np.intp]:
        """Position in the table's `names`."""
        ground, over = self._table._codes
        said, touched = self._said.category[self._ground], self._table.over.category
        return self._column(ground[said], over[touched])

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """Whether any event of a person is about it."""
        return self._over >= 0

    @property
    def untouched_rows(self) -> NDArray[np.intp]:
        """Rows of the ground of those that no person touched."""
        return self._ground[self._over[~self._is_added] < 0]

    @cached_property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether a person said that it is wrong."""
        return self._column(np.zeros(len(self._ground), bool), self._table.over.rejected)

    @cached_property
    def mask_ids(self) -> NDArray[np.int64]:
        """A number for each mask; 0 where a nucleus has none. The same number, the same mask."""
        ground = self._table.of.ground
        keys = ground.mask_keys_at(self._ground)
        return self._column(keys, self._table.over.mask_ids)

    @cached_property
    def mask_boxes_px(self) -> NDArray[np.int64]:
        """Crop of each mask, level-0 px, from corner to corner: x0, y0, x1, y1, shape (N, 4)."""
        boxes_px = self._said.masks.boxes_px[self._ground]
        return self._column(boxes_px, self._table.over.mask_boxes_px)

    @cached_property
    def uids(self) -> Uids:
        """Identities, shape (N, 16)."""
        changed = self._said.uids[self._table._changed]
        over = np.concatenate((changed, as_uids(self._table.of.added)))
        return self._column(self._said.uids[self._ground], over)

    def is_sure(self, sure_above: float) -> NDArray[np.bool_]:
        """As `editing.is_sure` has it, for every row."""
        return self.touched | ~(self.confidence < sure_above)

    def is_of(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows have one of these categories."""
        return self._table._is_of(names)[self.category]
