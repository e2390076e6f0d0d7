"""The masks of many nuclei, which are made when somebody asks for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_nunext.core.shapes.packed_masks import PackedMasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask


class MaskColumn(Sequence["Mask | None"]):
    """The masks of N nuclei, one place each; None where there is none. Never changes.

    Parameters
    ----------
    packs : iterable of sequences of Mask
        Where the masks are, one after another; see `PackedMasks` for those that are bytes.
    number : ndarray of int64, shape (N,)
        Of each nucleus, which of the masks is its own; -1 where it has none.
    """

    def __init__(self, packs: Iterable[Sequence[Mask]], number: NDArray[np.int64]) -> None:
        self._packs = tuple(packs)
        self._ends = list(accumulate(len(pack) for pack in self._packs))
        self._number = number
        self._known_boxes_px = np.empty((0, 4), dtype=np.int64)
        """Of the masks in the first packs, as far as somebody has asked."""

    @classmethod
    def of(cls, masks: Iterable[Mask | None]) -> MaskColumn:
        """From masks that are there already."""
        given = tuple(masks)
        drawn = np.array([mask is not None for mask in given], dtype=bool)
        number = np.where(drawn, np.cumsum(drawn) - 1, -1)
        return cls([tuple(mask for mask in given if mask is not None)], number)

    @classmethod
    def without_any(cls, count: int) -> MaskColumn:
        """For nuclei that have none."""
        return cls([], np.full(count, -1))

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """Which nuclei have a mask, shape (N,)."""
        return self._number >= 0

    def drawn_at(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which nuclei of some rows have a mask, in that order."""
        return self._number[rows] >= 0

    @cached_property
    def boxes_px(self) -> NDArray[np.int64]:
        """Crop of each mask from corner to corner, x0, y0, x1, y1, shape (N, 4); 0 for no mask."""
        new = self._packs[bisect_right(self._ends, len(self._known_boxes_px)) :]
        if new:
            self._known_boxes_px = np.concatenate((self._known_boxes_px, *map(_boxes_of, new)))
        return np.concatenate((self._known_boxes_px, np.zeros((1, 4), np.int64)))[self._number]

    def to_bytes(self, rows: NDArray[np.intp]) -> Iterator[bytes]:
        """What `Mask.to_bytes` gives for the masks of some nuclei; nothing for no mask."""
        numbers = self._number[rows]
        drawn = self._bytes_of(numbers[numbers >= 0])
        for number in numbers.tolist():
            yield next(drawn) if number >= 0 else b""

    def _bytes_of(self, numbers: NDArray[np.int64]) -> Iterator[bytes]:
        packs = np.searchsorted(self._ends, numbers, side="right")
        for pack, same in groupby(
            zip(packs.tolist(), numbers.tolist(), strict=True), itemgetter(0)
        ):
            wanted = [number - self._ends[pack] for _, number in same]  # from the pack's end
            yield from _bytes_of(self._packs[pack], wanted)

    def __len__(self) -> int:
        return len(self._number)

    @overload
    def __getitem__(self, row: int) -> Mask | None: ...
    @overload
    def __getitem__(self, row: slice) -> MaskColumn: ...
    def __getitem__(self, row: int | slice) -> Mask | MaskColumn | None:
        if isinstance(row, slice):
            return self.at(np.arange(len(self))[row])
        number = int(self._number[row])
        if number < 0:
            return None
        pack = bisect_right(self._ends, number)
        return self._packs[pack][number - self._ends[pack]]  # counted from the pack's end

    def at(self, rows: NDArray[np.intp]) -> MaskColumn:
        """Those of some nuclei, in the order of `rows`."""
        return self._beside(self._number[rows])

    def joined(self, other: MaskColumn) -> MaskColumn:
        """These, and then those of other nuclei."""
        theirs = np.where(other.drawn, other._number + self._size, -1)
        return self._beside(np.concatenate([self._number, theirs]), other._packs)

    def replaced(self, rows: NDArray[np.intp], masks: Sequence[Mask]) -> MaskColumn:
        """These, with `masks` for the nuclei at `rows`."""
        number = self._number.copy()
        number[rows] = np.arange(len(rows)) + self._size
        return self._beside(number, [masks])

    @property
    def _size(self) -> int:
        """How many masks the packs have."""
        return self._ends[-1] if self._ends else 0

    def _beside(
        self, number: NDArray[np.int64], packs: Iterable[Sequence[Mask]] = ()
    ) -> MaskColumn:
        """A column of our packs and more: what is known of ours is not asked again."""
        made = MaskColumn(packs, number)
        made._packs = (*self._packs, *made._packs)
        made._ends = [*self._ends, *(self._size + end for end in made._ends)]
        made._known_boxes_px = self._known_boxes_px
        return made


def _boxes_of(pack: Sequence[Mask]) -> NDArray[np.int64]:
    if isinstance(pack, PackedMasks):
        return pack.boxes_px
    return np.array([box_of(mask) for mask in pack], dtype=np.int64).reshape(-1, 4)


def _bytes_of(pack: Sequence[Mask], wanted: Sequence[int]) -> list[bytes]:
    if isinstance(pack, PackedMasks):
        return pack.to_bytes(wanted)
    return [pack[at].to_bytes() for at in wanted]


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """A mask's crop from corner to corner: x0, y0, x1, y1, level-0 px."""
    return (mask.x0_px, mask.y0_px, mask.x0_px + mask.width_px, mask.y0_px + mask.height_px)
