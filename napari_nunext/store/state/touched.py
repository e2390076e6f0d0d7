"""What people touched of a state's nuclei, as columns.

It is read from objects, and of those only what is other than a moment ago: nuclei are immutable,
and the same object says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import points_of
from napari_nunext.core.predictions import numbers_of
from napari_nunext.core.shapes.mask_column import box_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.state.ground import Ground
    from napari_nunext.store.state.nucleus_map import NucleusMap


@dataclass(frozen=True, eq=False, slots=True)
class Touched:
    """The nuclei that people touched, T rows: first those in the place of rows of the ground."""

    ids: NDArray[np.int64]
    """Where each lies in memory: tells whether it is the same object."""
    points_xy: PointsXY
    confidence: NDArray[np.float64]
    position_error_um: NDArray[np.float64]
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
            position_error_um=np.empty(0),
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
        confidence = numbers_of(n.nucleus.confidence for n in fresh)
        errors_um = numbers_of(n.nucleus.position_error_um for n in fresh)
        masks = [n.nucleus.mask for n in fresh]
        boxes_px = [(0, 0, 0, 0) if mask is None else box_of(mask) for mask in masks]
        ground_rows = np.array([*changed, *[-1] * len(now.added)], dtype=np.intp)[new_rows]
        mask_ids = _mask_ids(masks, now.ground, ground_rows)

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
            position_error_um=column(self.position_error_um, errors_um),
            category=column(self.category, category),
            names=tuple(codes),
            rejected=column(self.rejected, [n.status == "rejected" for n in fresh]),
            mask_ids=column(self.mask_ids, mask_ids),
            mask_boxes_px=column(self.mask_boxes_px, boxes_px),
        )


def _mask_ids(masks: Sequence[Mask | None], ground: Ground, rows: NDArray[np.intp]) -> list[int]:
    """The ground's number of a mask that a nucleus still has from there; else a new one."""
    keys = np.zeros(len(rows), dtype=np.int64)
    keys[rows >= 0] = ground.mask_keys_at(rows[rows >= 0])
    return [
        0 if mask is None else key if key and ground[row].nucleus.mask == mask else id(mask)
        for mask, key, row in zip(masks, keys.tolist(), rows.tolist(), strict=True)
    ]


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
