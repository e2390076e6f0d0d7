"""How many nuclei are positive, and how strongly: labelling index and H-score, with intervals.

An interval says how far the figure would move if other nuclei *of the same tissue* were counted. It
does not say what another region or slide would give: hot spots and cold ones differ by more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.bootstrap import LEVEL, RESAMPLES, SEED, Interval, interval_of
from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CUT_OFFS = (0.2, 0.4, 0.6)
"""Optical density of DAB from which on a nucleus is weakly, moderately and strongly positive:
QuPath's usual ones."""
MOST_CUT_OFF = 3.0
"""More light than this nothing on a slide takes: the darkest level has 2.4."""
LEAST_CUT_OFF = 0.2
"""Under which a suggestion never goes: what is paler, hardly anybody calls brown."""


@dataclass(frozen=True, slots=True)
class LabellingIndex:
    """The share of nuclei that are positive: for Ki-67, the proliferation index."""

    positive: int
    nuclei: int
    """Those with a density; others are not counted."""
    cut_off: float

    @property
    def share(self) -> float | None:
        """In [0, 1]; None of no nuclei."""
        return self.positive / self.nuclei if self.nuclei else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the share (1927); None of no nuclei."""
        if not self.nuclei:
            return None
        from scipy.stats import binomtest  # slow to import, and only wanted here

        found = binomtest(self.positive, self.nuclei).proportion_ci(LEVEL, method="wilson")
        return Interval(float(found.low), float(found.high))

    def to_json(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "positive": self.positive,
            "nuclei": self.nuclei,
            "cut_off": self.cut_off,
            "share": self.share,
            "interval": None if self.interval is None else self.interval.to_json(),
        }

    def __str__(self) -> str:
        if self.share is None or self.interval is None:
            return "no nucleus was measured"
        return (
            f"{self.share:.1%} positive ({self.interval.low:.1%} to {self.interval.high:.1%}), "
            f"{self.positive:,} of {self.nuclei:,} from {self.cut_off:.3g} OD"
        )


@dataclass(frozen=True, slots=True)
class HScore:
    """Positivity weighed by strength: ``% weak + 2 * % moderate + 3 * % strong``, 0 to 300."""

    grades: tuple[int, int, int, int]
    """How many nuclei are negative, weak, moderate, strong."""
    cut_offs: tuple[float, float, float]

    @property
    def score(self) -> float | None:
        """0 to 300; None of no nuclei."""
        nuclei = sum(self.grades)
        return 100 * float(np.dot(self.grades, range(4))) / nuclei if nuclei else None

    @property
    def interval(self) -> Interval | None:
        """Percentile bootstrap over nuclei, 95 %; None of fewer than two.

        Nuclei of a grade are alike for the score, so that drawing nuclei with replacement is one
        draw of four counts: exact, and as quick for a million.
        """
        nuclei = sum(self.grades)
        if nuclei < 2:
            return None
        rng = np.random.default_rng(SEED)
        drawn = rng.multinomial(nuclei, np.array(self.grades) / nuclei, size=RESAMPLES)
        return interval_of(100 * (drawn @ np.arange(4)) / nuclei)

    def to_json(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "grades": list(self.grades),
            "cut_offs": list(self.cut_offs),
            "score": self.score,
            "interval": None if self.interval is None else self.interval.to_json(),
        }

    def __str__(self) -> str:
        if self.score is None:
            return "no nucleus was measured"
        between = ""
        if self.interval is not None:
            between = f" ({self.interval.low:.0f} to {self.interval.high:.0f})"
        counts = ", ".join(f"{n:,} {word}" for n, word in zip(self.grades, _GRADES, strict=True))
        return f"H-score {self.score:.0f}{between}: {counts}"


_GRADES = ("negative", "weak", "moderate", "strong")


def labelling_index(od: NDArray[np.float64], cut_off: float = CUT_OFFS[0]) -> LabellingIndex:
    """How many nuclei have at least a density.

    Parameters
    ----------
    od : ndarray, shape (N,)
        Optical density of DAB, base 10; NaN does not count.
    cut_off : float

    Raises
    ------
    InputError
        If the cut-off is no finite number.
    """
    check_cut_off(cut_off)
    known = od[~np.isnan(od)]
    return LabellingIndex(int((known >= cut_off).sum()), len(known), float(cut_off))


def h_score(od: NDArray[np.float64], cut_offs: Sequence[float] = CUT_OFFS) -> HScore:
    """How many nuclei are negative, weak, moderate and strong.

    Parameters
    ----------
    od : ndarray, shape (N,)
        Optical density of DAB, base 10; NaN does not count.
    cut_offs : sequence of float
        Where weak, moderate and strong begin, ascending.

    Raises
    ------
    InputError
        If these are not three ascending numbers.
    """
    weak, moderate, strong = check_cut_offs(cut_offs)
    grade = np.digitize(od[~np.isnan(od)], [weak, moderate, strong])
    negative, *others = np.bincount(grade, minlength=4).tolist()
    return HScore((negative, *others), (weak, moderate, strong))


def check_cut_off(cut_off: float) -> None:
    """Raise `InputError` where a cut-off is no finite number."""
    if not np.isfinite(cut_off):
        raise InputError(
            f"The cut-off is {cut_off}; expected an optical density such as {CUT_OFFS[0]:g}."
        )


def check_cut_offs(cut_offs: Sequence[float]) -> tuple[float, float, float]:
    """Three cut-offs, ascending.

    Raises
    ------
    InputError
        If they are not.
    """
    given = tuple(float(each) for each in cut_offs)
    if len(given) != 3 or not np.isfinite(given).all() or not given[0] < given[1] < given[2]:
        said = ", ".join(f"{each:g}" for each in given)
        raise InputError(
            f"The cut-offs are {said or 'none'}; expected three that rise, for weak, moderate and "
            f"strong, such as {', '.join(map(str, CUT_OFFS))}."
        )
    return given[0], given[1], given[2]


def suggested_cut_off(od: NDArray[np.float64], least: float = LEAST_CUT_OFF) -> float:
    """Where densities divide best into two kinds: a suggestion, to be looked at.

    Otsu's threshold (1979) of the logarithms, since staining multiplies: that of the densities
    themselves divides strong from weak.

    Parameters
    ----------
    od : ndarray, shape (N,)
        Densities, by any logarithm; NaN does not count.
    least : float
        What is lower counts as this much, and nothing lower is suggested.

    Raises
    ------
    InputError
        If no nucleus was measured.
    """
    known = od[~np.isnan(od)]
    if not known.size:
        raise InputError("No nucleus was measured, so that no cut-off can be suggested. Give one.")
    return float(np.exp(_otsu(np.log(np.maximum(known, least)))))


def _otsu(values: NDArray[np.float64]) -> float:
    """What `skimage.filters.threshold_otsu` gives; core does without scikit-image.

    The middle of that one of 256 bins after which the two sides lie farthest apart for their sizes;
    of several, the lowest.
    """
    if values.min() == values.max():
        return float(values[0])
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[::-1][1:]
    weighed = counts * middles
    mean_below = np.cumsum(weighed)[:-1] / below
    mean_above = np.cumsum(weighed[::-1])[::-1][1:] / above
    return float(middles[np.argmax(below * above * (mean_below - mean_above) ** 2)])
