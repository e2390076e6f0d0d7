"""How far a point may lie from the nucleus' centre, by how widely the model spread its place.

A detector that writes coordinates has a probability for each bin. Their variance around the place
says which points are vague; its size says little, for soft supervision (NuNext, Eq. 7) widens it
even where a model is sure. Two numbers, an exponent and a shift, fitted on images with known
nuclei, turn it into the root mean square distance that such points have. Order is kept. **Ours**.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.scores.calibration import FEWEST

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS = 10
"""Of `position_calibration_error`: of equally many points each."""
_LEAST_UM2 = 1e-6
"""That a variance, or a squared distance, is taken for: neither has a logarithm at 0."""


@dataclass(frozen=True, slots=True)
class PositionCalibration:
    """How a checkpoint's spread of a place becomes a distance.

    The squared distance expected of a point is ``exp(shift) * spread ** exponent``, both in um2.

    Raises
    ------
    CheckpointError
        If a number is not finite, or the exponent not over 0: order would turn.
    """

    exponent: float
    shift: float
    points: int = 0
    """That it was fitted to."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.exponent) and math.isfinite(self.shift) and self.exponent > 0):
            raise CheckpointError(
                f"The calibration of positions is {self.exponent:g} and {self.shift:g}; expected "
                "an exponent over 0 and a finite shift."
            )

    def __call__(self, spread_um2: float) -> float:
        """Root mean square distance, um, of points whose place has this variance, um2."""
        return math.exp((self.shift + self.exponent * math.log(max(spread_um2, _LEAST_UM2))) / 2)

    def of(self, spread_um2: ArrayLike) -> NDArray[np.float64]:
        """The same of many, shape (N,)."""
        return np.array([self(value) for value in np.asarray(spread_um2).tolist()])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"exponent": self.exponent, "shift": self.shift, "points": self.points}

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> PositionCalibration | None:
        """Inverse of `to_json`; None of None."""
        if data is None:
            return None
        return cls(float(data["exponent"]), float(data["shift"]), int(data["points"]))


AS_SPREAD = PositionCalibration(1.0, 0.0)
"""Says the standard deviation as it is: what is fitted is fitted to that."""


def fit_positions(spread_um2: ArrayLike, distance_um: ArrayLike) -> PositionCalibration:
    """Fit exponent and shift by maximum likelihood, as if distances were Rayleigh's.

    Parameters
    ----------
    spread_um2 : array_like, shape (N,)
        Variance of x plus that of y, of points that matched a nucleus.
    distance_um : array_like, shape (N,)
        How far from its nucleus each lies.

    Raises
    ------
    InputError
        If there are fewer points than `FEWEST`, or vaguer points lie no further off.
    """
    import scipy

    spread = np.maximum(np.asarray(spread_um2, dtype=np.float64), _LEAST_UM2)
    squared = np.asarray(distance_um, dtype=np.float64) ** 2
    if len(spread) < FEWEST:
        raise InputError(
            f"{len(spread)} points match a nucleus; expected at least {FEWEST}, to say how far "
            "off a point may be."
        )
    log_spread = np.log(spread)
    middle = float(log_spread.mean())
    centred = log_spread - middle

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_said = numbers[0] * centred + numbers[1]
        ratio = squared * np.exp(-log_said)
        slope = 1 - ratio
        return float((log_said + ratio).mean()), np.array([(slope * centred).mean(), slope.mean()])

    start = np.array([1.0, math.log(max(float(squared.mean()), _LEAST_UM2))])
    found = scipy.optimize.minimize(loss, start, jac=True, method="BFGS")
    exponent, at_middle = found.x.tolist()
    if exponent <= 0:
        raise InputError("Vaguer points lie no further off: the spread of a place says nothing.")
    return PositionCalibration(exponent, at_middle - exponent * middle, len(spread))


def position_calibration_error(said_um: ArrayLike, distance_um: ArrayLike) -> float:
    """How far said and real root mean square distances lie apart, on average, um.

    The mean over `BINS` bins of equally many points, in order of what is said; NaN without points.
    """
    said, real = (np.asarray(each, dtype=np.float64) for each in (said_um, distance_um))
    if not len(said):
        return math.nan
    parts = np.array_split(np.argsort(said, kind="stable"), min(BINS, len(said)))
    apart = [
        len(part) * abs(root_mean_square(said[part]) - root_mean_square(real[part]))
        for part in parts
    ]
    return float(sum(apart) / len(said))


def root_mean_square(values: NDArray[np.float64]) -> float:
    """Of some values, at least one."""
    return float(np.sqrt((values**2).mean()))
