"""When to draw masks, while an image is still searched: region by region, each at one go.

A region is what one window of the segmenter draws, which looks at it once for all its nuclei.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Set

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.tiling import Window, WindowGrid


class MaskRegions:
    """Nuclei that stand for good, kept until all of their region is known.

    Parameters
    ----------
    searched : WindowGrid
        Windows of the search.
    drawn : WindowGrid
        Windows of the segmenter.
    reach_px : float
        How far from a nucleus a window may have its core and report it, or a rival of it.
    left_out : set of int
        Windows that the search leaves out.
    """

    def __init__(
        self,
        searched: WindowGrid,
        drawn: WindowGrid,
        reach_px: float,
        left_out: Set[int] = frozenset(),
    ) -> None:
        self._searched = searched
        self._left_out = left_out
        self._drawn = drawn
        self._reach_px = reach_px
        self._missing: dict[int, set[int]] = {}
        """By region, the windows that it waits for; regions that no window has touched are not
        there."""
        self._nuclei: dict[int, list[int]] = defaultdict(list)
        self._ready: dict[int, None] = {}
        """Regions that are known and have nuclei to draw, in the order in which they became so."""

    def stand(self, indices: Sequence[int], points_xy: PointsXY) -> None:
        """These nuclei stand for good, level-0 px, shape (N, 2)."""
        for index, region in zip(indices, self._drawn.holding(points_xy).tolist(), strict=True):
            self._nuclei[region].append(index)
            if self._missing.get(region) == set():
                self._ready[region] = None

    def end(self, window: Window) -> None:
        """A window of the search has ended, and what stands by that was told."""
        # A little more than needed: whom it concerns is said by the region's own list.
        for region in self._drawn.touching(window.core.grown(self._reach_px + 1)):
            if region not in self._missing:
                around = self._drawn[region].core.grown(self._reach_px)
                self._missing[region] = set(self._searched.touching(around)) - self._left_out
            missing = self._missing[region]
            missing.discard(window.index)
            if not missing and region in self._nuclei:
                self._ready[region] = None

    def known(self) -> Iterator[list[int]]:
        """Take the nuclei of each region that is known, as far as somebody asks."""
        while self._ready:
            region = next(iter(self._ready))
            del self._ready[region]
            yield self._nuclei.pop(region)

    def rest(self) -> Iterator[list[int]]:
        """Take what is left, once the search has ended."""
        yield from self.known()
        while self._nuclei:
            yield self._nuclei.pop(next(iter(self._nuclei)))
