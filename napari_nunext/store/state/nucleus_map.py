"""The nuclei of a state: columns of what runs said, and over them what people touched.

Most nuclei of a large field are as a run said them. They stay rows of arrays, and are objects for
as long as somebody looks at them. An edit copies what people touched, and none of the rows; a new
name of a category changes a table of names.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Mapping, ValuesView
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import points_of
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.uids import as_uuids
from napari_nunext.store.state.ground import Ground, with_names
from napari_nunext.store.state.reviewed import ReviewedNucleus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids

Key = TypeVar("Key")


class NucleusMap(Mapping["UUID", ReviewedNucleus]):
    """The nuclei that stand, rejected ones included, by uid. Never changes.

    The order is that of the journal: what a run said stands where the run was used, what a person
    placed where they placed it. An edit leaves a nucleus in its place.

    Parameters
    ----------
    ground : Ground, optional
    changed : mapping of int to ReviewedNucleus or None, optional
        What stands in the place of some rows of the ground, None for nothing. A person touched it.
    added : mapping of UUID to ReviewedNucleus, optional
        What stands behind all rows, in this order.
    """

    __slots__ = ("_added", "_changed", "_ground")

    def __init__(
        self,
        ground: Ground | None = None,
        changed: Mapping[int, ReviewedNucleus | None] = MappingProxyType({}),
        added: Mapping[UUID, ReviewedNucleus] = MappingProxyType({}),
    ) -> None:
        self._ground = Ground.bare() if ground is None else ground
        self._changed = dict(changed)
        self._added = dict(added)

    @property
    def ground(self) -> Ground:
        """What runs said."""
        return self._ground

    @property
    def changed(self) -> Mapping[int, ReviewedNucleus | None]:
        """What stands in the place of rows of the ground; None for nothing."""
        return self._changed

    @property
    def added(self) -> Mapping[UUID, ReviewedNucleus]:
        """What stands behind all rows."""
        return self._added

    # A mapping

    def __getitem__(self, uid: UUID) -> ReviewedNucleus:
        found = self.get(uid)
        if found is None:
            raise KeyError(uid)
        return found

    def get(self, uid: UUID, default: None = None) -> ReviewedNucleus | None:  # type: ignore[override]
        """The nucleus with this uid; None where none stands."""
        if uid in self._added:
            return self._added[uid]
        row = self._ground.row_of(uid)
        if row is None:
            return None
        return self._changed[row] if row in self._changed else self._ground[row]

    def __contains__(self, uid: object) -> bool:
        if uid in self._added:
            return True
        row = self._ground.row_of(uid)  # type: ignore[arg-type]
        return row is not None and self._changed.get(row, True) is not None

    def __len__(self) -> int:
        return int(self.stands.sum()) + len(self._added)

    def __iter__(self) -> Iterator[UUID]:
        yield from as_uuids(self._ground.said.uids[self.stands])
        yield from self._added

    def values(self) -> ValuesView[ReviewedNucleus]:
        """The nuclei, in order."""
        return NucleusValues(self)

    def items(self) -> ItemsView[UUID, ReviewedNucleus]:
        """The nuclei with their uids, in order."""
        return _Items(self)

    def _all(self) -> Iterator[ReviewedNucleus]:
        yield from self.at(np.arange(len(self._ground)))
        yield from self._added.values()

    def at(self, rows: NDArray[np.intp]) -> Iterator[ReviewedNucleus]:
        """What stands in some rows of the ground, in the order of `rows`."""
        untouched = self.untouched[rows]
        made = self._ground.nuclei(rows[untouched])
        for row, is_untouched in zip(rows.tolist(), untouched.tolist(), strict=True):
            nucleus = next(made) if is_untouched else self._changed[row]
            if nucleus is not None:
                yield nucleus

    # Many at once

    @property
    def untouched(self) -> NDArray[np.bool_]:
        """Which rows of the ground stand as a run said them, shape (N,)."""
        rows = np.ones(len(self._ground), dtype=bool)
        rows[list(self._changed)] = False
        return rows

    @property
    def stands(self) -> NDArray[np.bool_]:
        """In which rows of the ground anything stands, shape (N,)."""
        rows = np.ones(len(self._ground), dtype=bool)
        rows[[row for row, nucleus in self._changed.items() if nucleus is None]] = False
        return rows

    def touched(self) -> Iterator[ReviewedNucleus]:
        """The nuclei that a person touched or placed."""
        yield from (nucleus for nucleus in self._changed.values() if nucleus is not None)
        yield from self._added.values()

    def hold(self, uids: Uids) -> NDArray[np.bool_]:
        """Which nuclei with these uids, shape (N, 16), stand; shape (N,)."""
        held: NDArray[np.bool_] = np.append(self.stands, False)[self._ground.said.rows_of(uids)]
        if self._added and len(uids):
            held |= Predictions.of(n.nucleus for n in self._added.values()).rows_of(uids) >= 0
        return held

    def within(self, region: Box) -> list[ReviewedNucleus]:
        """The nuclei whose centroid lies in a region, in order."""
        inside = region.contains(self._ground.said.points_xy) & self.untouched
        inside[_inside(self._changed, region)] = True
        added = [self._added[uid] for uid in _inside(self._added, region)]
        return [*self.at(np.flatnonzero(inside)), *added]

    def near(self, x_px: float, y_px: float, radius_px: float) -> list[ReviewedNucleus]:
        """The nuclei whose centroid is no further from a place, the nearest first."""
        around = Box(x_px, y_px, x_px, y_px).grown(radius_px + 1)  # its far edges are not of it
        reached = [
            (distance_px, n)
            for n in self.within(around)
            if (distance_px := math.hypot(n.nucleus.x_px - x_px, n.nucleus.y_px - y_px))
            <= radius_px
        ]
        return [n for _, n in sorted(reached, key=itemgetter(0))]

    def covering(self, x_px: float, y_px: float) -> list[ReviewedNucleus]:
        """The nuclei whose mask covers a place."""
        x0, y0, x1, y1 = self._ground.said.masks.boxes_px.T
        here = (x0 <= x_px) & (x_px < x1) & (y0 <= y_px) & (y_px < y1) & self.untouched
        there = [*self._ground.nuclei(np.flatnonzero(here)), *self.touched()]
        return [n for n in there if n.nucleus.mask and n.nucleus.mask.covers(x_px, y_px)]

    def edited(self) -> Draft:
        """A copy that can be changed."""
        return Draft(self._ground, self._changed, self._added)


class Draft(NucleusMap):
    """The nuclei while they change."""

    __slots__ = ()

    def finished(self) -> NucleusMap:
        """The nuclei as they are now."""
        return NucleusMap(self._ground, self._changed, self._added)

    def put(self, uid: UUID, nucleus: ReviewedNucleus | None) -> None:
        """Let a nucleus stand as it is, in the place it has or had; None takes it away."""
        row = None if uid in self._added else self._ground.row_of(uid)
        if row is not None and nucleus is not None and not nucleus.touched:
            self._changed.pop(row, None)  # the run said so
        elif row is not None:
            self._changed[row] = nucleus
        elif nucleus is not None:
            self._added[uid] = nucleus
        else:
            self._added.pop(uid, None)

    def place(self, nucleus: ReviewedNucleus) -> None:
        """Let a nucleus that did not stand be the last."""
        self._added[nucleus.uid] = nucleus

    def rename(self, name: str, to: str) -> None:
        """Give a category another name."""
        called = tuple(to if each == name else each for each in self._ground.called)
        self._ground = self._ground.calling(called)
        for row, nucleus in self._changed.items():
            if nucleus is not None and nucleus.nucleus.category == name:
                self._changed[row] = nucleus.of_category(to)
        for uid, nucleus in self._added.items():
            if nucleus.nucleus.category == name:
                self._added[uid] = nucleus.of_category(to)

    def let_go(self, rows: NDArray[np.bool_]) -> None:
        """Let rows of the ground, shape (N,), and whatever stands in their place be no more."""
        if not rows.any():
            return
        kept = ~rows
        new_row = np.cumsum(kept) - 1
        self._ground = self._ground.at(np.flatnonzero(kept))
        self._changed = {
            int(new_row[row]): nucleus for row, nucleus in self._changed.items() if kept[row]
        }

    def hide(self, uids: Uids) -> None:
        """Let rows of these uids, shape (N, 16), be no more; what people touched stays."""
        rows = self._ground.said.rows_of(uids)
        hidden = np.zeros(len(self._ground), dtype=bool)
        hidden[rows[rows >= 0]] = True
        self.let_go(hidden & self.untouched)

    def settle(self) -> None:
        """Make a row of what was added, in front of all rows that come, and forget what is gone."""
        self.let_go(~self.stands)
        added = list(self._added.values())
        self._changed |= dict(enumerate(added, start=len(self._ground)))
        self._ground = self._ground.joined(Predictions.of(n.nucleus for n in added), None)
        self._added = {}

    def grow(
        self, said: Predictions, rows: NDArray[np.intp], run_id: str, names: Mapping[str, str]
    ) -> None:
        """Let some rows of what a run said stand behind those that do.

        `names` say what the run's categories are called, where that is something else.
        """
        new = with_names(said.at(rows), [names.get(name, name) for name in said.names])
        self._ground = self._ground.joined(new, run_id)

    def outline(self, masks: Mapping[UUID, Mask]) -> None:
        """Give rows of the ground masks."""
        self._ground = self._ground.outlined(masks)


class NucleusValues(ValuesView[ReviewedNucleus]):
    """The nuclei of a map, each made when it is asked for."""

    @property
    def of(self) -> NucleusMap:
        """The map, for who takes its columns."""
        return self._mapping  # type: ignore[attr-defined,no-any-return]

    def __iter__(self) -> Iterator[ReviewedNucleus]:
        return self._mapping._all()  # type: ignore[attr-defined,no-any-return]


class _Items(ItemsView["UUID", ReviewedNucleus]):
    def __iter__(self) -> Iterator[tuple[UUID, ReviewedNucleus]]:
        return ((n.uid, n) for n in self._mapping._all())  # type: ignore[attr-defined]


def _inside(nuclei: Mapping[Key, ReviewedNucleus | None], region: Box) -> list[Key]:
    """The keys of those nuclei that lie in a region."""
    there = [(key, n.nucleus) for key, n in nuclei.items() if n is not None]
    inside = region.contains(points_of([nucleus for _, nucleus in there])).tolist()
    return [key for (key, _), is_inside in zip(there, inside, strict=True) if is_inside]
