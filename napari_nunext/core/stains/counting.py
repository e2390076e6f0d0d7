"""Which nuclei count in figures of a stain, and from where on: the one rule for all who count.

A nucleus whose centre lies in a region that is left out counts nowhere: not in the image, not in
another region that covers it, and no file says a density of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_nunext.core.stains.positivity import CUT_OFFS, check_cut_off, check_cut_offs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.regions import Region


@dataclass(frozen=True, slots=True)
class CutOffs:
    """Optical densities of DAB from which on a nucleus is something, base 10.

    Raises
    ------
    InputError
        If one is no finite number, or those of the H-score are not three that rise.
    """

    positive: float = CUT_OFFS[0]
    """From which on it counts in the labelling index."""
    grades: tuple[float, float, float] = CUT_OFFS
    """Where weak, moderate and strong begin in the H-score."""

    def __post_init__(self) -> None:
        check_cut_off(self.positive)
        check_cut_offs(self.grades)

    def to_json(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {"positive": self.positive, "grades": list(self.grades)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The cut-offs that `to_json` wrote."""
        return cls(float(data["positive"]), check_cut_offs(data["grades"]))


def is_left_out(points_xy: PointsXY, regions: Iterable[Region]) -> NDArray[np.bool_]:
    """Which nuclei lie in a region that is left out.

    Parameters
    ----------
    points_xy : ndarray, shape (N, 2)
        Centroids, level-0 px.
    regions : iterable of Region
        Of all kinds.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    out = np.zeros(len(points_xy), dtype=np.bool_)
    for each in regions:
        if each.kind == "leave_out":
            out |= each.contains(points_xy)
    return out


def that_count(
    od: NDArray[np.float64], points_xy: PointsXY, regions: Iterable[Region]
) -> NDArray[np.float64]:
    """The densities, NaN for nuclei that lie in a region that is left out; shape (N,)."""
    return np.where(is_left_out(points_xy, regions), np.nan, od)
