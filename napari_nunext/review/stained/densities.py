"""The optical density of each nucleus of the open image, measured anew where something changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.stains.measuring import dab_od_of
from napari_nunext.core.uids import UidIndex, as_uids

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.stains.measuring import RegionReader
    from napari_nunext.core.uids import Uids
    from napari_nunext.review.table import NucleusTable


class NotWantedError(Exception):
    """Another image is shown meanwhile: nobody waits for what was being measured."""


@dataclass(frozen=True, eq=False)
class Densities:
    """What was measured of N nuclei, and where they stood then."""

    uids: Uids
    points_xy: PointsXY
    mask_ids: NDArray[np.int64]
    mpp: float
    od: NDArray[np.float64]
    """Mean optical density of DAB, base 10; NaN outside of the image."""

    @classmethod
    def none(cls) -> Self:
        """Of no nuclei."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(as_uids(()), np.empty((0, 2)), nothing, 0.0, np.empty(0))

    @cached_property
    def _index(self) -> UidIndex:
        return UidIndex(self.uids)

    def of(self, uids: Uids) -> NDArray[np.float64]:
        """The densities of nuclei by their uids; NaN where none was measured."""
        if uids is self.uids or np.array_equal(uids, self.uids):
            return self.od
        rows = self._index.rows_of(uids)
        return np.where(rows < 0, np.nan, self.od[rows] if len(self.od) else np.nan)

    def after(
        self,
        table: NucleusTable,
        image: RegionReader,
        mpp: float,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Densities:
        """Those of another state of the same image: only what is new or was changed is measured.

        Parameters
        ----------
        table : NucleusTable
        image : RegionReader
            What the nuclei are on.
        mpp : float
            Micrometres per level-0 pixel; with another one all are measured.
        is_wanted : callable
            Asked before each block that is read.

        Raises
        ------
        NotWantedError
            If the answer was no.
        """
        uids, points_xy, mask_ids = table.uids, table.points_xy, table.mask_ids
        od = np.full(len(uids), np.nan)
        same = np.zeros(len(uids), dtype=np.bool_)
        if mpp == self.mpp and len(self.od):
            if np.array_equal(uids, self.uids):
                rows = np.arange(len(uids))
            else:
                rows = self._index.rows_of(uids)
            same = (
                (rows >= 0)
                & (self.points_xy[rows] == points_xy).all(axis=1)
                & (self.mask_ids[rows] == mask_ids)
            )
            od[same] = self.od[rows[same]]
        new = np.flatnonzero(~same)
        if len(new):
            masks = table.masks_at(new)
            wanted = _WhileWanted(image, is_wanted)
            od[new] = dab_od_of(wanted, points_xy[new], masks, mpp=mpp)
        return Densities(uids, points_xy, mask_ids, mpp, od)


@dataclass(frozen=True, slots=True)
class _WhileWanted:
    """An image that is read as long as somebody waits for it."""

    image: RegionReader
    is_wanted: Callable[[], bool]

    @property
    def box(self) -> Box:
        """The whole image, level-0 px."""
        return self.image.box

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """As the image reads it."""
        if not self.is_wanted():
            raise NotWantedError
        return self.image.read_region(box, level)
