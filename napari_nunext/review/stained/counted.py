"""Labelling index and H-score of an image and of its regions, quick enough to follow a slider."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.stains.counting import that_count
from napari_nunext.core.stains.figures import (
    STAIN_COLUMNS,
    StainFigures,
    stain_cells,
)
from napari_nunext.core.stains.positivity import h_score, labelling_index, suggested_cut_off

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval
    from napari_nunext.core.shapes.regions import Region
    from napari_nunext.core.stains.counting import CutOffs
    from napari_nunext.core.stains.positivity import HScore
    from napari_nunext.core.uids import Uids
    from napari_nunext.review.stained.densities import Densities
    from napari_nunext.review.table import NucleusTable

WHOLE = "Image"
"""What the row of all nuclei is called."""


@dataclass(frozen=True, eq=False)
class CountedStain:
    """The densities that count in the image and in its regions."""

    counting: Densities
    """Of all nuclei; NaN of those that do not count: rejected, left out, not to be measured."""
    parts: tuple[tuple[str, NDArray[np.float64]], ...]
    """Names and densities: the image's, then each region's that is not left out."""
    left_out: int
    """Nuclei in regions that are left out."""
    suggested: float | None
    """Where the densities divide; None where there are none."""
    _last: list[Any] = field(default_factory=lambda: [None, None], init=False, repr=False)
    """What was asked last: a slider asks for the same nuclei again and again."""

    def densities_of(self, uids: Uids) -> NDArray[np.float64]:
        """Of nuclei by their uids; NaN where one does not count."""
        if self._last[0] is None or not np.array_equal(uids, self._last[0]):
            self._last[:] = uids, self.counting.of(uids)
        found: NDArray[np.float64] = self._last[1]
        return found

    @property
    def od(self) -> NDArray[np.float64]:
        """All that count."""
        return self.parts[0][1]


def counted_stain(
    measured: Densities, table: NucleusTable, regions: Collection[Region]
) -> CountedStain:
    """What of measured nuclei counts, and where.

    Parameters
    ----------
    measured : Densities
        Of the table's nuclei, row by row.
    table : NucleusTable
    regions : collection of Region
        Of all kinds.
    """
    od = np.where(table.rejected, np.nan, measured.od)
    od, stood = that_count(od, table.points_xy, regions), ~np.isnan(od)
    counts = ~np.isnan(od)
    known, points_xy = od[counts], table.points_xy[counts]
    within = tuple(
        (each.name, known[each.contains(points_xy)]) for each in regions if each.kind != "leave_out"
    )
    suggested = suggested_cut_off(known) if len(known) else None
    left_out = int(stood.sum() - counts.sum())
    counting = replace(measured, od=od)
    return CountedStain(counting, ((WHOLE, known), *within), left_out, suggested)


class StainCounter:
    """Figures for cut-offs; what the cut-offs did not change is not computed again."""

    def __init__(self) -> None:
        self._scores: dict[tuple[int, tuple[float, ...]], tuple[HScore, Interval | None]] = {}
        self._of: CountedStain | None = None

    def figures(self, counted: CountedStain, cut_offs: CutOffs) -> tuple[StainFigures, ...]:
        """Of the image, and of each region."""
        if counted is not self._of:
            self._of, self._scores = counted, {}
        made = []
        for at, (name, od) in enumerate(counted.parts):
            key = at, cut_offs.grades
            if key not in self._scores:
                score = h_score(od, cut_offs.grades)
                self._scores[key] = score, score.interval
            index = labelling_index(od, cut_offs.positive)
            made.append(StainFigures(name, index, index.interval, *self._scores[key]))
        return tuple(made)


def as_table(figures: Iterable[StainFigures]) -> str:
    """Rows of cells with tabs between them, as spreadsheets take them from the clipboard."""
    return "\n".join("\t".join(cells) for cells in (STAIN_COLUMNS, *map(stain_cells, figures)))
