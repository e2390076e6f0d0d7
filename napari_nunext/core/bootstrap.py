"""How far a figure would move if what it rests on were other things of the same kind.

Percentile bootstrap (Efron, 1979): cases are drawn with replacement, as many as there are, and the
figure is computed anew from what was drawn. A case is what stands alone: an image and not one of
its nuclei, which are alike, or an answer and not one of its ratings; less would promise too much.
All figures of a data set share the drawings: a drawing is how often it has each case, and sums over
the drawn cases are one product of matrices for all figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """From where to where a figure lies in the middle `LEVEL` of the drawings."""

    low: float
    high: float

    def to_json(self) -> list[float]:
        """``[low, high]``."""
        return [self.low, self.high]


class Drawings:
    """Data sets drawn from the cases of one.

    Parameters
    ----------
    cases : int
        At least 2: one says nothing about others.
    resamples : int
    seed : int
        The same seed and number of cases give the same drawings.
    """

    def __init__(self, cases: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> None:
        rng = np.random.default_rng(seed)
        self._times = rng.multinomial(cases, np.full(cases, 1 / cases), size=resamples)

    def sums(self, values: ArrayLike) -> NDArray[Any]:
        """Sum over each drawing's cases.

        Parameters
        ----------
        values : array_like, shape (cases,) or (cases, K)

        Returns
        -------
        ndarray, shape (resamples,) or (resamples, K)
        """
        summed: NDArray[Any] = self._times @ np.asarray(values)
        return summed


def interval_of(figures: NDArray[np.float64]) -> Interval | None:
    """The middle of the drawings' figures, shape (resamples,).

    Drawings in which the figure is not defined (NaN) do not count; None where it nowhere is.
    """
    defined = figures[~np.isnan(figures)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def ratio(top: NDArray[Any], bottom: NDArray[Any], *, empty: float) -> NDArray[np.float64]:
    """Quotient of sums, and `empty` where the lower one is 0."""
    quotient = np.full(top.shape, empty, dtype=np.float64)
    np.divide(top, bottom, out=quotient, where=bottom != 0)
    return quotient
