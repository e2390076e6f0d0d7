"""Whether a confidence of 0.8 means that four in five are right, and how to make it mean so.

A model's confidence orders its points well and says little by its size. Two numbers, a slope and a
shift of its log odds (Platt, 1999), fitted on images with known nuclei, turn it into the share of
such points that are right. Order is kept, so which points are found is not touched. **Ours**.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CONFIDENCE = "confidence"
CALIBRATED = "calibrated"
"""How a run's ``decoding`` says that its confidences are shares that are right."""

BINS = 15
"""Of `expected_calibration_error`: as usual (Guo et al., 2017), of equally many points each."""
FEWEST = 100
"""Points, right and wrong ones together, that two numbers are fitted to."""
_NEAREST = 1e-6
"""To 0 and 1 that a confidence is taken for: log odds have no ends."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a checkpoint's confidence becomes a share that is right.

    Raises
    ------
    CheckpointError
        If a number is not finite, or the slope not over 0: order would turn.
    """

    slope: float
    shift: float
    points: int = 0
    """That it was fitted to."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.shift) and self.slope > 0):
            raise CheckpointError(
                f"The calibration is {self.slope:g} and {self.shift:g}; expected a slope over 0 "
                "and a finite shift."
            )

    def __call__(self, confidence: float) -> float:
        """The share that is right among points of this confidence, 0 to 1."""
        return 1 / (1 + math.exp(-(self.slope * _log_odds(confidence) + self.shift)))

    def of(self, confidence: ArrayLike) -> NDArray[np.float64]:
        """The same of many, shape (N,)."""
        return np.array([self(value) for value in np.asarray(confidence).tolist()])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"slope": self.slope, "shift": self.shift, "points": self.points}

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Calibration | None:
        """Inverse of `to_json`; None of None."""
        if data is None:
            return None
        return cls(float(data["slope"]), float(data["shift"]), int(data["points"]))


def fit_calibration(confidence: ArrayLike, is_right: ArrayLike) -> Calibration:
    """Fit slope and shift by maximum likelihood.

    Parameters
    ----------
    confidence : array_like, shape (N,)
        Of a model without calibration.
    is_right : array_like of bool, shape (N,)
        Whether each point matched a nucleus.

    Raises
    ------
    InputError
        If there are fewer points than `FEWEST`, or all are right, or all are wrong, or surer points
        are not oftener right.
    """
    import scipy

    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(is_right, dtype=bool)
    if len(sure) < FEWEST or right.all() or not right.any():
        raise InputError(
            f"{int(right.sum())} right and {int((~right).sum())} wrong points; expected at least "
            f"{FEWEST} points with some of both, to say what a confidence means."
        )
    odds = np.array([_log_odds(value) for value in sure.tolist()])
    # Platt's targets: a finite shift also where surest points are all right.
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = numbers[0] * odds + numbers[1]
        error = scipy.special.expit(logits) - target
        value = np.logaddexp(0, logits) - target * logits
        return float(value.mean()), np.array([(error * odds).mean(), error.mean()])

    found = scipy.optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    slope, shift = found.x.tolist()
    if slope <= 0:
        raise InputError("Surer points are not oftener right: confidence says nothing here.")
    return Calibration(slope, shift, len(sure))


def expected_calibration_error(confidence: ArrayLike, is_right: ArrayLike) -> float:
    """How far confidence and the share that is right lie apart, on average; 0 to 1.

    The mean over `BINS` bins of equally many points, in order of confidence (Guo et al., 2017, with
    adaptive bins); NaN without points.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(is_right, dtype=np.float64)
    if not len(sure):
        return math.nan
    parts = np.array_split(np.argsort(sure, kind="stable"), min(BINS, len(sure)))
    apart = [len(part) * abs(sure[part].mean() - right[part].mean()) for part in parts]
    return float(sum(apart) / len(sure))


def _log_odds(confidence: float) -> float:
    share = min(max(confidence, _NEAREST), 1 - _NEAREST)
    return math.log(share / (1 - share))
