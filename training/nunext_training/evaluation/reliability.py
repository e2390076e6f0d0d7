"""Confidences of what was found, beside what of it was right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.scores.calibration import expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.scores.matching import Matching
    from nunext_training.evaluation.predictions import Outcome


@dataclass(frozen=True, eq=False, slots=True)
class Reliability:
    """Confidence of each point of all images, and whether it matched a nucleus (gated)."""

    confidence: NDArray[np.float64]
    """Shape (N,)."""
    is_right: NDArray[np.bool_]
    """Shape (N,)."""

    @property
    def error(self) -> float:
        """Expected calibration error."""
        return expected_calibration_error(self.confidence, self.is_right)

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"Confidence: {self.confidence.mean():.3f} on average, and {self.is_right.mean():.3f} "
            f"of the points are right; expected calibration error {self.error:.3f}."
        )

    def to_json(self) -> dict[str, float]:
        """Plain JSON values; the points are not among them."""
        return {
            "expected_calibration_error": self.error,
            "mean_confidence": float(self.confidence.mean()),
            "right": float(self.is_right.mean()),
        }


def reliability_of(
    outcomes: Sequence[Outcome], matchings: Sequence[Matching]
) -> Reliability | None:
    """Of images whose points have confidences; None where none has.

    `matchings` say of each image which of its points are nuclei, gated.
    """
    sure, right = [], []
    for outcome, matching in zip(outcomes, matchings, strict=True):
        confidence = outcome.prediction.confidence
        if confidence is None:
            continue
        said = ~np.isnan(confidence)
        sure.append(confidence[said])
        right.append(matching.is_true_positive[said])
    if not sum(map(len, sure)):
        return None
    return Reliability(np.concatenate(sure), np.concatenate(right))


def pooled(parts: Sequence[Reliability]) -> Reliability:
    """Several sets as one."""
    return Reliability(
        np.concatenate([np.empty(0), *(part.confidence for part in parts)]),
        np.concatenate([np.empty(0, dtype=bool), *(part.is_right for part in parts)]),
    )
