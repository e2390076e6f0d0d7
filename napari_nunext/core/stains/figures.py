"""What is said of a stain in a part of an image, and a row of a table that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.stains.positivity import h_score, labelling_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval
    from napari_nunext.core.stains.counting import CutOffs
    from napari_nunext.core.stains.positivity import HScore, LabellingIndex

STAIN_COLUMNS = (
    "region",
    "nuclei",
    "positive",
    "negative_by_grade",
    "weak",
    "moderate",
    "strong",
    "labelling_index",
    "labelling_index_low",
    "labelling_index_high",
    "positive_from_od",
    "h_score",
    "h_score_low",
    "h_score_high",
    "weak_from_od",
    "moderate_from_od",
    "strong_from_od",
)
"""Of a table of figures; intervals are of 95 %, shares in 0..1."""


@dataclass(frozen=True, slots=True)
class StainFigures:
    """What is said of the nuclei of the image, or of a region."""

    name: str
    index: LabellingIndex
    index_interval: Interval | None
    score: HScore
    score_interval: Interval | None


def stain_figures(name: str, od: NDArray[np.float64], cut_offs: CutOffs) -> StainFigures:
    """The figures of nuclei by their densities, shape (N,); NaN does not count."""
    index, score = labelling_index(od, cut_offs.positive), h_score(od, cut_offs.grades)
    return StainFigures(name, index, index.interval, score, score.interval)


def stain_cells(each: StainFigures) -> tuple[str, ...]:
    """A row of a table; blank where there is no figure."""
    index, score = each.index, each.score
    figures = (
        index.share,
        each.index_interval and each.index_interval.low,
        each.index_interval and each.index_interval.high,
        index.cut_off,
        score.score,
        each.score_interval and each.score_interval.low,
        each.score_interval and each.score_interval.high,
    )
    said = ["" if figure is None else f"{figure:.6g}" for figure in figures]
    counts = [str(n) for n in (index.nuclei, index.positive, *score.grades)]
    return (" ".join(each.name.split()), *counts, *said, *(f"{g:.6g}" for g in score.cut_offs))
