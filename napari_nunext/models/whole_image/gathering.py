"""The one fold of what a detector says into the nuclei of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import check_mpp, points_at
from napari_nunext.core.predictions import numbers_of
from napari_nunext.core.seams import SeamChange, SeamMerger
from napari_nunext.core.shapes.area import EVERYTHING
from napari_nunext.models.detector import WindowPoints

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.shapes.area import Area
    from napari_nunext.core.tiling import Window, WindowGrid
    from napari_nunext.models.detector import WindowEvent

MERGE_RADIUS_UM = 2.0
"""Points of different windows closer than this are one nucleus."""


@dataclass(frozen=True, eq=False, slots=True)
class Detections:
    """The nuclei found in an image, row by row of its windows."""

    points_xy: PointsXY
    """Shape (N, 2), level-0 pixels, corner origin."""
    categories: tuple[str, ...]
    confidence: NDArray[np.float64]
    """Shape (N,)."""
    windows_cut_off: int
    """Windows that held more nuclei than the detector lets a window hold."""
    position_error_um: NDArray[np.float64]
    """NaN where nobody says; shape (N,)."""
    decoding: dict[str, object] = field(default_factory=dict)
    """What a run remembers of this search, beside how its detector decodes."""

    def __len__(self) -> int:
        return len(self.points_xy)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A nucleus as one window reports it; another may have seen it too."""

    window: int
    x: float
    """Level-0 px, corner origin."""
    y: float
    category: str
    confidence: float
    position_error_um: float | None = None


class Gathering:
    """The nuclei of an image, while its windows are searched in any order.

    Sightings have running indices in the order in which they are taken.

    Parameters
    ----------
    region : Box
        Nuclei beyond it do not count; level-0 pixels.
    windows : WindowGrid
        That cover it.
    mpp : float
        Micrometres per level-0 pixel of the image.
    merge_radius_um : float
        Points of different windows closer than this are one nucleus, the surer one.
    left_out : collection of int
        Windows that are not searched, and hold nothing.
    area : Area
        Nuclei beyond it do not count either.
    """

    def __init__(
        self,
        region: Box,
        windows: WindowGrid,
        *,
        mpp: float,
        merge_radius_um: float = MERGE_RADIUS_UM,
        left_out: Collection[int] = (),
        area: Area = EVERYTHING,
    ) -> None:
        self._region = region
        self._area = area
        self.radius_px = merge_radius_um / check_mpp(mpp)
        self._merger = SeamMerger(self.radius_px, windows)
        for window in left_out:
            self._merger.end(window)
        self.windows_wanted = len(windows) - len(left_out)
        self._sightings: list[Sighting] = []
        self.windows_done = 0
        self.windows_cut_off = 0
        self.windows_damaged = 0
        self.tokens = 0

    def __len__(self) -> int:
        """How many sightings there are, whether they stand or not."""
        return len(self._sightings)

    def __getitem__(self, index: int) -> Sighting:
        return self._sightings[index]

    @property
    def complete(self) -> bool:
        """Whether every window that is searched has ended."""
        return self.windows_done == self.windows_wanted

    @property
    def nothing_left(self) -> bool:
        """Whether all have but those that are damaged."""
        return self.windows_done + self.windows_damaged == self.windows_wanted

    def take(self, window: Window, event: WindowEvent) -> SeamChange:
        """Keep the points that are this window's to report, and say what changes."""
        if not isinstance(event, WindowPoints):
            self.windows_done += 1
            self.windows_cut_off += event.finish == "limit"
            self.tokens += event.tokens
            return self._merger.end(window.index)
        here = window.to_level0(event.points_xy)
        spoken_for = window.speaks_for(self.radius_px / 2)
        is_mine = spoken_for.contains(here) & self._region.contains(here)
        mine = np.flatnonzero(is_mine & self._area.contains(here)).tolist()
        errors_um = event.position_error_um or [None] * len(here)
        for i in mine:
            x, y = here[i].tolist()
            said = event.categories[i], event.confidence[i], errors_um[i]
            self._sightings.append(Sighting(window.index, x, y, *said))
        return self._merger.add(window.index, here[mine], [event.confidence[i] for i in mine])

    def go_on(self, done: Collection[int], sightings: Sequence[Sighting]) -> list[int]:
        """Take up a search that was broken off; before anything else is taken.

        Parameters
        ----------
        done : collection of int
            Windows that were searched to their end.
        sightings : sequence of Sighting
            What those reported near their seams (`napari_nunext.core.seams.near_seams`), whether
            it stood or not, and whatever else is of interest.

        Returns
        -------
        list of int
            Those that stand for good.
        """
        settled: list[int] = []
        for seen in sightings:
            self._sightings.append(seen)
            change = self._merger.add(
                seen.window, np.array([(seen.x, seen.y)], dtype=np.float64), [seen.confidence]
            )
            settled += change.settled
        for window in done:
            settled += self._merger.end(window).settled
        self.windows_done = len(done)
        return settled

    def settle(self) -> SeamChange:
        """Nothing more is to come: what changes by that."""
        return self._merger.settle()

    def standing(self) -> tuple[int, ...]:
        """Indices of the sightings that stand, ascending."""
        return self._merger.visible()

    def result(self) -> Detections:
        """The nuclei, settled; in each window in the order in which they were taken."""
        self.settle()
        found = [self._sightings[i] for i in self.standing()]
        found.sort(key=lambda sighting: sighting.window)
        return Detections(
            points_at(found),
            tuple(s.category for s in found),
            np.array([s.confidence for s in found], dtype=np.float64),
            self.windows_cut_off,
            numbers_of(s.position_error_um for s in found),
        )
