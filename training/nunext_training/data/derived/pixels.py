"""Kinds of questions that need the pixels at the nuclei: where these are does not answer them.

A nucleus is dark where the haematoxylin in a disc around it is over a threshold, and brown where
the diaminobenzidine (DAB) is: optical densities unmixed by Ruifrok and Johnston (2001), on the
picture as it is shown. A threshold is fixed once, on nuclei to learn from
(`deriving.threshold_of`).
Category and place alone do not tell a nucleus' stain, and without knowing where the nuclei are, it
is hard to count.

Left out, because one answer was right too often on BRCA-M2C: which category is darkest (the
lymphocytes, in 62 % of the windows held out), and which one dominates beside glass (too few windows
show any).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from napari_nunext.core.stains.measuring import RADIUS_UM, discs_at, means_in
from nunext_training.data.derived.points import LEAST, QUADRANTS, asked, most_of, quadrant_of
from nunext_training.data.stain import stain_amounts

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from nunext_training.data.derived.window import AnnotatedWindow, DerivedQuestion

Stain: TypeAlias = Literal["haematoxylin", "dab"]
_COLUMN: Mapping[Stain, int] = {"haematoxylin": 0, "dab": 2}

DISC_UM = RADIUS_UM
"""Radius of what is looked at around a nucleus' centre."""
LEAST_IN_HALF = 3
"""Nuclei that a half needs for its median to be compared."""
CLEAR_BY_OD = 0.1
"""Optical density by which one half is darker than the other."""
SHARES = ("under 5 %", "5 to 30 %", "over 30 %")
SHARE_FROM, SHARE_TO = 5, 30
"""Percent: the cut-offs of the International Ki67 in Breast Cancer Working Group (Nielsen, 2021),
both in the middle step."""


@dataclass(frozen=True, slots=True)
class Stained:
    """A window with what its nuclei are stained by."""

    window: AnnotatedWindow
    amounts: NDArray[np.float64]
    """Of each nucleus, shape (N,)."""
    threshold: float

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which are stained."""
        return self.amounts > self.threshold


def stain_at(
    rgb: NDArray[np.uint8], points_xy: PointsXY, stain: Stain, mpp: float
) -> NDArray[np.float64]:
    """Mean amount of a stain in a disc of `DISC_UM` around each point.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    points_xy : ndarray, shape (N, 2)
        Pixels of the picture, inside of it.
    stain : {"haematoxylin", "dab"}
    mpp : float
        Micrometres per pixel of the picture.

    Returns
    -------
    ndarray, shape (N,)
        Optical density, natural logarithm; what a disc has beyond the picture is left out.
    """
    amounts = stain_amounts(rgb)[..., _COLUMN[stain]]
    return means_in(amounts, discs_at(points_xy, DISC_UM, mpp))


def dark_count(stained: Stained, rng: random.Random) -> DerivedQuestion:
    """How many nuclei of a category are dark."""
    window = stained.window
    plurals = window.spoken.plurals
    there = [kind for kind in range(len(plurals)) if len(window.indices_of(kind))]
    # Of a category that is not there none is dark, and the pixels need no look.
    kind = rng.choice(there) if there and rng.random() < 0.8 else rng.randrange(len(plurals))
    n = int(stained.over[window.indices_of(kind)].sum())
    return asked("dark_count", f"How many dark {plurals[kind]} are there?", n)


def dark_quadrant(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """In which quarter most dark nuclei are, of any category."""
    window = stained.window
    where = quadrant_of(window.points_xy[stained.over], window.region)
    if where is None:
        return None
    return asked("dark_quadrant", "Where are most dark nuclei?", where, QUADRANTS)


def dark_dominant(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """Which category has the most dark nuclei."""
    window = stained.window
    answer = most_of(window, np.flatnonzero(stained.over))
    if answer is None:
        return None
    words = window.spoken.words
    options = rng.sample(words, len(words))
    text = "Which category has the most dark nuclei?"
    return asked("dark_dominant", text, words[answer], options)


def darker_half(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """In which half the nuclei are darker, by the median."""
    window = stained.window
    axis, names = rng.choice(((0, ("left", "right")), (1, ("upper", "lower"))))
    start = (window.region.x0, window.region.y0)[axis]
    size = (window.region.width, window.region.height)[axis]
    is_second = window.points_xy[:, axis] >= start + size / 2
    halves = stained.amounts[~is_second], stained.amounts[is_second]
    if min(map(len, halves)) < LEAST_IN_HALF:
        return None
    first, second = map(np.median, halves)
    if abs(first - second) < CLEAR_BY_OD:
        return None
    options = tuple(f"{name} half" for name in names)
    return asked(
        "darker_half", "In which half are the nuclei darker?", options[int(second > first)], options
    )


def brown_count(stained: Stained, rng: random.Random) -> DerivedQuestion:
    """How many nuclei are brown."""
    return asked("brown_count", "How many nuclei are brown?", int(stained.over.sum()))


def brown_quadrant(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """In which quarter most brown nuclei are."""
    window = stained.window
    where = quadrant_of(window.points_xy[stained.over], window.region)
    if where is None:
        return None
    return asked("brown_quadrant", "Where are most brown nuclei?", where, QUADRANTS)


def brown_share(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """Which share of the nuclei is brown, in steps, in the words that Counts takes for Ki-67's."""
    n, brown = len(stained.over), int(stained.over.sum())
    if n < LEAST:
        return None
    # In whole numbers: no share is on the wrong side of a cut-off by rounding.
    step = (100 * brown >= SHARE_FROM * n) + (100 * brown > SHARE_TO * n)
    options = rng.sample(SHARES, len(SHARES))
    return asked("brown_share", "What is the labelling index?", SHARES[step], options)


def brown_dominant(stained: Stained, rng: random.Random) -> DerivedQuestion | None:
    """Whether more nuclei are brown or blue, which those are that are not brown."""
    n, brown = len(stained.over), int(stained.over.sum())
    if n < LEAST or 2 * brown == n:
        return None
    options = rng.sample(("brown", "blue"), 2)
    answer = "brown" if 2 * brown > n else "blue"
    return asked("brown_dominant", "Do brown or blue nuclei dominate?", answer, options)


MAKERS: Mapping[Stain, Mapping[str, Callable[[Stained, random.Random], DerivedQuestion | None]]] = {
    "haematoxylin": {
        "dark_count": dark_count,
        "dark_quadrant": dark_quadrant,
        "dark_dominant": dark_dominant,
        "darker_half": darker_half,
    },
    "dab": {
        "brown_count": brown_count,
        "brown_quadrant": brown_quadrant,
        "brown_share": brown_share,
        "brown_dominant": brown_dominant,
    },
}
"""By kind, in the order in which they draw, of each stain that is asked about."""
