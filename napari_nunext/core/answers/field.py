"""The nuclei of a region, and what can be read from them: counts, density, places, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.nuclei import Nucleus

LINK_UM = 10.0
"""Nuclei of a cluster are nearer than this to the next one (ours)."""
LEAST_IN_CLUSTER = 4
"""Nuclei that make a cluster (ours)."""
MARGIN_UM = 3.0
"""Around the centroids of a cluster: about the radius of a nucleus."""


@dataclass(frozen=True, eq=False)
class NucleusField:
    """N nuclei of a region, at a scale.

    Raises
    ------
    InputError
        If the region has no area. `CalibrationError`, if the scale is implausible.
    """

    nuclei: Predictions
    region: Box
    """Level-0 px; all nuclei lie in it."""
    mpp: float
    categories: tuple[str, ...]
    """All that are told apart, those without a nucleus too."""

    @classmethod
    def of(
        cls, nuclei: Iterable[Nucleus], region: Box, mpp: float, categories: Iterable[str] = ()
    ) -> NucleusField:
        """Those of `nuclei` that lie in the region.

        Parameters
        ----------
        nuclei : iterable of Nucleus
        region : Box
            Level-0 px.
        mpp : float
        categories : iterable of str
            What model or project tell apart: one that no nucleus has counts 0.
        """
        check_mpp(mpp)
        if region.width <= 0 or region.height <= 0:
            raise InputError("The region has no area; choose one that lies in the image.")
        every = Predictions.of(nuclei)
        kept = every.at(np.flatnonzero(region.contains(every.points_xy)))
        return cls(kept, region, mpp, tuple(dict.fromkeys((*categories, *every.names))))

    @property
    def area_mm2(self) -> float:
        """Of the region."""
        return self.region.width * self.region.height * self.mpp**2 / 1e6

    @cached_property
    def counts(self) -> dict[str, int]:
        """Nuclei of each category, the most first; of equals by name."""
        n = np.bincount(self.nuclei.category, minlength=len(self.nuclei.names)).tolist()
        counts = dict.fromkeys(self.categories, 0) | dict(zip(self.nuclei.names, n, strict=True))
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def of_categories(self, names: Collection[str]) -> NDArray[np.int64]:
        """Indices of the nuclei of these categories; of all nuclei without a name."""
        if not names:
            return np.arange(len(self.nuclei))
        places = [i for i, name in enumerate(self.nuclei.names) if name in names]
        return np.flatnonzero(np.isin(self.nuclei.category, places))

    def within(self, indices: NDArray[np.int64], zone: Box) -> NDArray[np.int64]:
        """Those of `indices` that lie in `zone`, a box in parts of the region (0 to 1)."""
        region = self.region
        origin, size = (region.x0, region.y0), (region.width, region.height)
        parts = (self.nuclei.points_xy[indices] - origin) / size
        return indices[zone.contains(np.minimum(parts, np.nextafter(1.0, 0.0)))]

    def level0(self, zone: Box) -> Box:
        """A box in parts of the region (0 to 1), in level-0 px."""
        region = self.region
        return Box(
            region.x0 + zone.x0 * region.width,
            region.y0 + zone.y0 * region.height,
            region.x0 + zone.x1 * region.width,
            region.y0 + zone.y1 * region.height,
        )

    def clusters(self, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Chains of nuclei that are nearer than `LINK_UM` to the next, the largest first."""
        chains = chains_of(self.nuclei.points_xy[indices], LINK_UM / self.mpp)
        large = (indices[c] for c in chains if len(c) >= LEAST_IN_CLUSTER)
        return sorted(large, key=len, reverse=True)

    def box_around(self, indices: NDArray[np.int64]) -> Box:
        """Around these nuclei, level-0 px, within the region."""
        low = self.nuclei.points_xy[indices].min(axis=0)
        high = self.nuclei.points_xy[indices].max(axis=0)
        around = Box(*low.tolist(), *high.tolist())
        return around.grown(MARGIN_UM / self.mpp).clipped_to(self.region)


def chains_of(points_xy: PointsXY, link_px: float) -> list[NDArray[np.int64]]:
    """Indices of points in chains: each is nearer than `link_px` to another one of its chain."""
    n = len(points_xy)
    # The tree links what is exactly so far apart as well.
    nearer_than = np.nextafter(link_px, 0.0)
    pairs = scipy.spatial.cKDTree(points_xy).query_pairs(nearer_than, output_type="ndarray")
    linked = scipy.sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = scipy.sparse.csgraph.connected_components(linked, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
