"""What lies in regions, as numbers and as a table for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.shapes.regions import KIND_WORDS
from napari_nunext.review.shown.regions import RegionFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.regions import Region

UM2_A_MM2 = 1e6


def uncounted(region: Region, mpp: float) -> RegionFigures:
    """The figures of a region before its nuclei are counted."""
    return RegionFigures(region, region.area_um2(mpp) / UM2_A_MM2)


def counted_in(
    figures: Iterable[RegionFigures],
    points_xy: PointsXY,
    category: NDArray[np.intp],
    names: Sequence[str],
) -> tuple[RegionFigures, ...]:
    """The same with what lies in each region.

    Parameters
    ----------
    figures : iterable of RegionFigures
    points_xy : ndarray, shape (N, 2)
        The nuclei that stand, level-0 px.
    category : ndarray of int, shape (N,)
        Position of each one's category in `names`.
    names : sequence of str
    """
    made = []
    for each in figures:
        inside = each.region.contains(points_xy)
        found = np.bincount(category[inside], minlength=len(names))
        order = np.argsort(-found, kind="stable")
        counts = {names[i]: int(found[i]) for i in order.tolist() if found[i]}
        made.append(RegionFigures(each.region, each.area_mm2, counts))
    return tuple(made)


def as_table(figures: Sequence[RegionFigures]) -> str:
    """Rows of cells with tabs between them, as spreadsheets take them from the clipboard."""
    names = sorted({name for each in figures for name in each.counts or ()})
    rows = [["Region", "Kind", "Area (mm2)", "Nuclei", "Nuclei per mm2", *names]]
    for each in figures:
        counts = each.counts
        cells = [each.region.name, KIND_WORDS[each.region.kind], f"{each.area_mm2:.6g}"]
        if counts is not None and each.per_mm2 is not None:
            cells += [str(each.nuclei), f"{each.per_mm2:.6g}"]
            cells += [str(counts.get(name, 0)) for name in names]
        rows.append(cells)
    return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows)
