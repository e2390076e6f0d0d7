"""The nuclei of a state as columns: what is drawn, counted and looked up in large fields.

What runs said is in columns already (`NucleusMap.ground`), which are taken as they are. Only what
people touched is read from objects, and of that only what is other than a moment ago: nuclei are
immutable, and the same object says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import points_of
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn, box_of
from napari_nunext.core.uids import as_uids, as_uuids
from napari_nunext.store.state.nucleus_map import NucleusMap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids
    from napari_nunext.store import FieldState, ReviewedNucleus
    from napari_nunext.store.state.ground import Ground


@dataclass(frozen=True, eq=False, slots=True)
class Touched:
    """The nuclei that people touched, T rows: first those in the place of rows of the ground."""

    ids: NDArray[np.int64]
    """Where each lies in memory: tells whether it is the same object."""
    points_xy: PointsXY
    confidence: NDArray[np.float64]
    category: NDArray[np.intp]
    """Position in `names`."""
    names: tuple[str, ...]
    rejected: NDArray[np.bool_]
    mask_ids: NDArray[np.int64]
    mask_boxes_px: NDArray[np.int64]

    @classmethod
    def none(cls) -> Touched:
        """Nobody touched anything."""
        return cls(
            ids=np.empty(0, dtype=np.int64),
            points_xy=np.empty((0, 2)),
            confidence=np.empty(0),
            category=np.empty(0, dtype=np.intp),
            names=(),
            rejected=np.empty(0, dtype=bool),
            mask_ids=np.empty(0, dtype=np.int64),
            mask_boxes_px=np.empty((0, 4), dtype=np.int64),
        )

    def after(self, now: NucleusMap) -> Touched:
        """Those of other nuclei; what is the same object in both is not read again."""
        changed = {row: n for row, n in now.changed.items() if n is not None}
        nuclei = [*changed.values(), *now.added.values()]
        ids = np.fromiter(map(id, nuclei), dtype=np.int64, count=len(nuclei))
        old_rows = _old_rows(self.ids, ids)
        new_rows = np.flatnonzero(old_rows < 0)
        fresh = [nuclei[row] for row in new_rows.tolist()]
        codes = {name: code for code, name in enumerate(self.names)}
        category = [codes.setdefault(n.nucleus.category, len(codes)) for n in fresh]
        confidence = [
            np.nan if n.nucleus.confidence is None else n.nucleus.confidence for n in fresh
        ]
        masks = [n.nucleus.mask for n in fresh]
        boxes_px = [(0, 0, 0, 0) if mask is None else box_of(mask) for mask in masks]
        ground_rows = [*changed, *[-1] * len(now.added)]
        mask_ids = [
            _mask_id(mask, now.ground, ground_rows[row])
            for mask, row in zip(masks, new_rows.tolist(), strict=True)
        ]

        def column(old: NDArray[Any], new: Any) -> NDArray[Any]:
            made = np.empty((len(nuclei), *old.shape[1:]), old.dtype)
            known = old_rows >= 0
            made[known] = old[old_rows[known]]
            if len(new_rows):
                made[new_rows] = new
            return made

        return Touched(
            ids=ids,
            points_xy=column(self.points_xy, points_of([n.nucleus for n in fresh])),
            confidence=column(self.confidence, confidence),
            category=column(self.category, category),
            names=tuple(codes),
            rejected=column(self.rejected, [n.status == "rejected" for n in fresh]),
            mask_ids=column(self.mask_ids, mask_ids),
            mask_boxes_px=column(self.mask_boxes_px, boxes_px),
        )


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
    def names(self) -> tuple[str, ...]:
        """Of the categories, those that no nucleus has any more included."""
        return tuple(dict.fromkeys((*self.of.ground.called, *self.over.names)))

    @cached_property
    def category(self) -> NDArray[np.intp]:
        """Position in `names`."""
        place = {name: at for at, name in enumerate(self.names)}
        ground, over = (
            np.array([place[name] for name in names], dtype=np.intp)[codes]
            for names, codes in (
                (self.of.ground.called, self.of.ground.said.category),
                (self.over.names, self.over.category),
            )
        )
        return self._column(ground, over)

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
        changed = np.fromiter(
            (row for row, nucleus in self.of.changed.items() if nucleus is not None), np.intp
        )
        return self._column(ground, np.concatenate((ground[changed], as_uids(self.of.added))))

    def _column(self, ground: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
        """A column of all, from that of the ground and that of what people touched."""
        rows, _, touched = self._rows
        if len(rows) == len(ground) and not len(over):
            return ground
        made = np.empty((len(self), *ground.shape[1:]), ground.dtype)
        # A mode in which numpy does not take a copy first: all rows are there.
        np.take(ground, rows, axis=0, out=made[: len(rows)], mode="clip")
        made[touched] = over[: len(touched)]
        made[len(rows) :] = over[len(touched) :]
        return made

    @cached_property
    def _rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the ground that stand; where each row of it is here; where the touched are."""
        stands = self.of.stands
        place = np.where(stands, np.cumsum(stands) - 1, -1)
        touched = [row for row, nucleus in self.of.changed.items() if nucleus is not None]
        return np.flatnonzero(stands), place, place[touched]

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
        )

    # Nuclei

    def __len__(self) -> int:
        return len(self._rows[0]) + len(self.of.added)

    def nuclei_at(self, rows: Iterable[int] | NDArray[np.intp]) -> list[ReviewedNucleus]:
        """The nuclei of some rows, in that order."""
        wanted, stands = np.fromiter(rows, dtype=np.intp), self._rows[0]
        is_added = wanted >= len(stands)
        ground, added = self.of.at(stands[wanted[~is_added]]), list(self.of.added.values())
        return [
            added[row - len(stands)] if row >= len(stands) else next(ground)
            for row in wanted.tolist()
        ]

    def uids_at(self, rows: Iterable[int] | NDArray[np.intp]) -> list[UUID]:
        """The identities of the nuclei of some rows, in that order."""
        return as_uuids(self.uids[np.fromiter(rows, dtype=np.intp)])

    def rows_of(self, uids: Iterable[UUID]) -> NDArray[np.intp]:
        """The rows of those of some nuclei that stand, ascending."""
        uids = list(uids)
        stands, place, _ = self._rows
        added = {uid: row for row, uid in enumerate(self.of.added, start=len(stands))}
        ground = self.of.ground.said.rows_of(as_uids(uid for uid in uids if uid not in added))
        rows = place[ground[ground >= 0]]
        return np.sort([*rows[rows >= 0], *(added[uid] for uid in uids if uid in added)]).astype(
            np.intp
        )

    def is_sure(self, sure_above: float) -> NDArray[np.bool_]:
        """As `editing.is_sure` has it, for every row."""
        return self.touched | ~(self.confidence < sure_above)

    def is_of(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows have one of these categories."""
        wanted = set(names)
        return np.array([name in wanted for name in self.names], dtype=bool)[self.category]

    def counts(self) -> dict[str, int]:
        """How many nuclei stand in each category, rejected ones not counted."""
        counted = np.bincount(self.category[~self.rejected], minlength=len(self.names))
        return dict(zip(self.names, counted.tolist(), strict=True))


def _mask_id(mask: Mask | None, ground: Ground, row: int) -> int:
    """The ground's number of a mask that a nucleus still has from there; else a new one."""
    if mask is None:
        return 0
    key = int(ground.mask_keys[row]) if row >= 0 else 0
    return key if key and ground[row].nucleus.mask == mask else id(mask)


def _old_rows(old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each of the `new` stands in the `old`; -1 where it does not.

    An edit leaves most of them in their order: what is alike from both ends is not searched for.
    """
    shorter = min(len(old), len(new))
    head = _alike(old[:shorter], new[:shorter])
    tail = _alike(old[len(old) - shorter + head :][::-1], new[len(new) - shorter + head :][::-1])
    middle = _places_in(old[head : len(old) - tail], new[head : len(new) - tail])
    return np.concatenate(
        (
            np.arange(head),
            np.where(middle < 0, -1, middle + head),
            np.arange(len(old) - tail, len(old)),
        )
    )


def _alike(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many are the same before the first that differ."""
    differ = one != other
    return int(differ.argmax()) if differ.any() else len(one)


def _places_in(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where in `known`, which has no value twice, each wanted value is; -1 where it is not."""
    order = np.argsort(known)
    places = places_in_sorted(known[order], wanted)
    return np.where(places < 0, -1, order[places]) if len(order) else places


def places_in_sorted(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """The same where `known` ascends."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.intp)
    places = np.searchsorted(known, wanted)
    places[places == len(known)] = 0
    return np.where(known[places] == wanted, places, -1)
