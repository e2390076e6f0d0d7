"""What differs between two states of an image's nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.store.state.acceptance import is_truth

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from napari_nunext.store.state.ground import Ground
    from napari_nunext.store.state.nucleus_map import NucleusMap
    from napari_nunext.store.state.reviewed import ReviewedNucleus


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Some nuclei of a state."""

    ground: Ground
    rows: NDArray[np.intp]
    """Of the ground: nobody touched them."""
    touched: Collection[ReviewedNucleus]

    @classmethod
    def all_of(cls, nuclei: NucleusMap) -> Part:
        """All that stand."""
        return cls(nuclei.ground, np.flatnonzero(nuclei.untouched), tuple(nuclei.touched()))

    def __iter__(self) -> Iterator[ReviewedNucleus]:
        yield from self.ground.nuclei(self.rows)
        yield from self.touched


def changes(before: NucleusMap, after: NucleusMap) -> tuple[Part, Part]:
    """The nuclei that stood before and are gone or other, and those that have come or are other.

    A nucleus is other where its place, category or mask is, or where it was rejected.
    """
    gone = {n.uid: n for n in before.touched()}
    come = {n.uid: n for n in after.touched()}
    for uid in [uid for uid in gone.keys() & come.keys() if _are_alike(gone[uid], come[uid])]:
        del gone[uid], come[uid]
    gone_rows, come_rows = _other_rows(before, after)
    return (
        Part(before.ground, gone_rows, gone.values()),
        Part(after.ground, come_rows, come.values()),
    )


def _are_alike(one: ReviewedNucleus, other: ReviewedNucleus) -> bool:
    same = one.nucleus is other.nucleus or one.nucleus == other.nucleus
    return same and is_truth(one) == is_truth(other)


def _other_rows(before: NucleusMap, after: NucleusMap) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Untouched rows of each that do not stand alike and untouched in the other."""
    one, other = before.ground, after.ground
    stood, stands = before.untouched, after.untouched
    if one is other:
        return np.flatnonzero(stood & ~stands), np.flatnonzero(stands & ~stood)
    rows = np.flatnonzero(stands)
    was = rows if one.said is other.said else one.said.rows_of(other.said.uids[rows])
    rows, was = rows[was >= 0], was[was >= 0]
    alike = (
        stood[was]
        & (one.said.points_xy[was] == other.said.points_xy[rows]).all(axis=1)
        & (one.mask_keys[was] == other.mask_keys[rows])
        & _are_of_one_category(one, was, other, rows)
    )
    stood[was[alike]] = False
    stands[rows[alike]] = False
    return np.flatnonzero(stood), np.flatnonzero(stands)


def _are_of_one_category(
    one: Ground, its: NDArray[np.intp], other: Ground, others: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether pairs of rows have categories of one name."""
    number = {name: at for at, name in enumerate(dict.fromkeys((*one.called, *other.called)))}
    its_number = np.array([number[name] for name in one.called], dtype=np.intp)
    others_number = np.array([number[name] for name in other.called], dtype=np.intp)
    same: NDArray[np.bool_] = (
        its_number[one.said.category[its]] == others_number[other.said.category[others]]
    )
    return same
