"""The nuclei of a state as columns: what is drawn, counted and looked up in large fields.

To read 100,000 objects takes a tenth of a second; to see which of them are others than a moment ago
takes a hundredth, and only those are read again. Nuclei are immutable: the same object says the
same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import points_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store import FieldState, ReviewedNucleus


@dataclass(frozen=True, eq=False, slots=True)
class NucleusTable:
    """The nuclei of one state, N rows in the state's order, rejected ones included."""

    nuclei: NDArray[np.object_]
    """Each as a `ReviewedNucleus`."""
    ids: NDArray[np.int64]
    """Where each lies in memory: tells whether it is the same object."""
    points_xy: PointsXY
    """Centroids, level-0 px, corner origin, shape (N, 2)."""
    confidence: NDArray[np.float64]
    """NaN where a person placed the nucleus."""
    category: NDArray[np.intp]
    """Position in `names`."""
    names: tuple[str, ...]
    """Of the categories, those that no nucleus has any more included."""
    touched: NDArray[np.bool_]
    rejected: NDArray[np.bool_]
    mask_ids: NDArray[np.int64]
    """Where each mask lies in memory; 0 where a nucleus has none."""
    mask_boxes_px: NDArray[np.int64]
    """Crop of each mask, level-0 px, from corner to corner: x0, y0, x1, y1, shape (N, 4)."""

    @classmethod
    def empty(cls) -> NucleusTable:
        """Of no nuclei."""
        return cls(
            nuclei=np.empty(0, dtype=object),
            ids=np.empty(0, dtype=np.int64),
            points_xy=np.empty((0, 2)),
            confidence=np.empty(0),
            category=np.empty(0, dtype=np.intp),
            names=(),
            touched=np.empty(0, dtype=bool),
            rejected=np.empty(0, dtype=bool),
            mask_ids=np.empty(0, dtype=np.int64),
            mask_boxes_px=np.empty((0, 4), dtype=np.int64),
        )

    def after(self, state: FieldState | None) -> NucleusTable:
        """The table of another state; what is the same in both is not read again."""
        if state is None:
            return NucleusTable.empty()
        count = len(state.nuclei)
        nuclei = np.fromiter(state.nuclei.values(), dtype=object, count=count)
        ids = np.fromiter(map(id, state.nuclei.values()), dtype=np.int64, count=count)
        old_rows = _old_rows(self.ids, ids)
        new_rows = np.flatnonzero(old_rows < 0)
        fresh: list[ReviewedNucleus] = nuclei[new_rows].tolist()
        codes = {name: code for code, name in enumerate(self.names)}
        category = [codes.setdefault(n.nucleus.category, len(codes)) for n in fresh]
        confidence = [
            np.nan if n.nucleus.confidence is None else n.nucleus.confidence for n in fresh
        ]
        masks = [n.nucleus.mask for n in fresh]

        def column(old: NDArray[Any], new: Any) -> NDArray[Any]:
            made = old[old_rows] if len(old) else np.empty((count, *old.shape[1:]), old.dtype)
            if len(new_rows):
                made[new_rows] = new
            return made

        return NucleusTable(
            nuclei=nuclei,
            ids=ids,
            points_xy=column(self.points_xy, points_of([n.nucleus for n in fresh])),
            confidence=column(self.confidence, confidence),
            category=column(self.category, category),
            names=tuple(codes),
            touched=column(self.touched, [n.touched for n in fresh]),
            rejected=column(self.rejected, [n.status == "rejected" for n in fresh]),
            mask_ids=column(self.mask_ids, [0 if m is None else id(m) for m in masks]),
            mask_boxes_px=column(self.mask_boxes_px, [_box_of(mask) for mask in masks]),
        )

    def __len__(self) -> int:
        return len(self.nuclei)

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

    def rows_of(self, nuclei: Iterable[ReviewedNucleus]) -> NDArray[np.intp]:
        """The rows of some of its nuclei, ascending."""
        wanted = np.sort(np.fromiter(map(id, nuclei), dtype=np.int64))
        return np.flatnonzero(places_in_sorted(wanted, self.ids) >= 0)


def _box_of(mask: Mask | None) -> tuple[int, int, int, int]:
    if mask is None:
        return (0, 0, 0, 0)
    return (
        mask.x0_px,
        mask.y0_px,
        mask.x0_px + mask.width_px,
        mask.y0_px + mask.height_px,
    )


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
