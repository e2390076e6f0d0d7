"""How far off points may be as a detector says, beside how far off they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.scores.position_error import position_calibration_error, root_mean_square

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.scores.matching import Matching
    from nunext_training.evaluation.predictions import Outcome


@dataclass(frozen=True, eq=False, slots=True)
class Placement:
    """Of each point of all images that matched a nucleus (gated), what was said and what is."""

    said_um: NDArray[np.float64]
    """Shape (N,), as `napari_nunext.core.nuclei.Nucleus` has it."""
    distance_um: NDArray[np.float64]
    """Shape (N,), from the nucleus that it matched."""

    @property
    def error_um(self) -> float:
        """How far said and real distances lie apart, on average over ten groups."""
        return position_calibration_error(self.said_um, self.distance_um)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of what is said and what is; NaN where one of them is the same for all."""
        import scipy

        if np.ptp(self.said_um) == 0 or np.ptp(self.distance_um) == 0:
            return float("nan")
        return float(scipy.stats.spearmanr(self.said_um, self.distance_um).statistic)

    @property
    def words(self) -> str:
        """For people."""
        said, real = map(root_mean_square, (self.said_um, self.distance_um))
        return (
            f"Position: {said:.2f} um off is said, and {real:.2f} um is so (root mean square, of "
            f"{len(self.said_um)} points that are nuclei); {self.error_um:.2f} um apart in ten "
            f"groups, rank correlation {self.rank_correlation:.2f}."
        )

    def to_json(self) -> dict[str, float | None]:
        """Plain JSON values; the points are not among them."""
        correlation = self.rank_correlation
        return {
            "points": len(self.said_um),
            "said_um": root_mean_square(self.said_um),
            "real_um": root_mean_square(self.distance_um),
            "position_calibration_error_um": self.error_um,
            "rank_correlation": correlation if correlation == correlation else None,
        }


def placement_of(outcomes: Sequence[Outcome], matchings: Sequence[Matching]) -> Placement | None:
    """Of images whose points say how far off they may be; None where none says so.

    `matchings` say of each image which of its points are nuclei, gated.
    """
    said, real = [], []
    for outcome, matching in zip(outcomes, matchings, strict=True):
        errors_um, mpp = outcome.prediction.position_error_um, outcome.image.mpp
        if errors_um is None:
            continue
        here = errors_um[matching.pred_index]
        told = ~np.isnan(here)
        said.append(here[told])
        real.append(matching.distance_px[told] * mpp)
    if not sum(map(len, said)):
        return None
    return pooled([Placement(*each) for each in zip(said, real, strict=True)])


def pooled(parts: Sequence[Placement]) -> Placement:
    """Several sets as one."""
    return Placement(
        np.concatenate([np.empty(0), *(part.said_um for part in parts)]),
        np.concatenate([np.empty(0), *(part.distance_um for part in parts)]),
    )
