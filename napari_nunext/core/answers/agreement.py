"""Whether readers agree: Krippendorff's alpha of their ratings and of their choices.

Alpha is 1 where readers agree in everything, and 0 where they agree as often as they would if each
answer had got its ratings by lot. It allows for any number of readers, and for answers that not all
of them judged (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_nunext.core.answers.enough import FEWEST, NotEnough
from napari_nunext.core.bootstrap import LEVEL, Drawings, interval_of, ratio
from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval

Scale: TypeAlias = Literal["nominal", "ordinal"]
"""Whether values are merely other than each other, or have an order."""

RELIABLE = 0.8
TENTATIVE = 0.667
"""Krippendorff's customary bounds (Content Analysis, 2004, p. 241)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far readers agree."""

    alpha: float
    """At most 1; under 0 where readers contradict each other more than chance would."""
    interval: Interval | None
    """Where alpha would lie with other answers. The answers are drawn, by `core.bootstrap`."""
    answers: int
    """Those that two readers or more judged; no others count."""
    readers: int
    """Those who judged at least one of these."""
    scale: Scale

    @property
    def in_words(self) -> str:
        """One sentence for people."""
        how_far = (
            "agree well"
            if self.alpha >= RELIABLE
            else "agree enough for tentative conclusions"
            if self.alpha >= TENTATIVE
            else "agree too little to rely on"
            if self.alpha > 0
            else "agree no better than by chance"
        )
        between = (
            f", {LEVEL:.0%} interval {self.interval.low:.2f} to {self.interval.high:.2f}"
            if self.interval
            else ""
        )
        return (
            f"{self.readers} readers {how_far} in their {_JUDGEMENTS[self.scale]} of "
            f"{self.answers} answers (alpha {self.alpha:.2f}{between})."
        )


_JUDGEMENTS: Mapping[Scale, str] = {"ordinal": "ratings", "nominal": "choices"}


def rating_agreement(
    stars: Mapping[str, Mapping[str, float | None]],
) -> Agreement | NotEnough:
    """Agreement of ratings, as of values that have an order.

    Parameters
    ----------
    stars : mapping
        Of each reader, the rating of each answer that they rated, by its id; None is no rating.

    Raises
    ------
    InputError
        If a rating is no finite number.
    """
    for by_answer in stars.values():
        for rating in by_answer.values():
            if rating is not None and not math.isfinite(rating):
                raise InputError(f"A rating is {rating!r}; expected a finite number, or None.")
    return _agreement(stars, "ordinal")


def choice_agreement(
    choices: Mapping[str, Mapping[str, Hashable]],
) -> Agreement | NotEnough:
    """Agreement of what readers chose among options, which have no order.

    Parameters
    ----------
    choices : mapping
        Of each reader, the choice for each answer, by its id; None is no choice.
    """
    return _agreement(choices, "nominal")


def _agreement(judged: Mapping[str, Mapping[str, Any]], scale: Scale) -> Agreement | NotEnough:
    by_answer: dict[str, list[Any]] = {}
    for values in judged.values():
        for answer, value in values.items():
            if value is not None:
                by_answer.setdefault(answer, []).append(value)
    shared = {answer: values for answer, values in by_answer.items() if len(values) > 1}
    if len(shared) < FEWEST:
        return NotEnough(
            f"{len(shared)} of the {FEWEST} answers that it takes have {_JUDGEMENTS[scale]} by two "
            "readers"
        )
    units = list(shared.values())
    if len({value for unit in units for value in unit}) == 1:
        return NotEnough(
            f"all {_JUDGEMENTS[scale]} are the same, and agreement cannot be told from habit"
        )
    parts = _parts(units, scale)
    (alpha,) = _alpha(parts.sum(axis=0, keepdims=True), scale)
    readers = sum(
        any(values.get(answer) is not None for answer in shared) for values in judged.values()
    )
    interval = interval_of(_alpha(Drawings(len(units)).sums(parts), scale))
    return Agreement(float(alpha), interval, len(units), readers, scale)


def krippendorff_alpha(units: Sequence[Sequence[Any]], scale: Scale) -> float:
    """Alpha of units, each the values that readers gave it, in any order; NaN if all are equal.

    With ``o_ck`` for how often values c and k meet in a unit, each unit of m values giving
    ``1 / (m - 1)`` for each of its ordered pairs, ``n_c`` for its row sums and n for the sum of
    these, ``alpha = 1 - (n - 1) sum(o_ck d_ck) / sum(n_c n_k d_ck)``. The distance ``d_ck`` is 1
    for c other than k if nominal, and ``(n_c / 2 + ... + n_k / 2)^2`` with all of the values
    between them if ordinal. Units of fewer than two values do not count.
    """
    parts = _parts([unit for unit in units if len(unit) > 1], scale)
    return float(_alpha(parts.sum(axis=0, keepdims=True), scale)[0])


def _parts(units: Sequence[Sequence[Any]], scale: Scale) -> NDArray[np.float64]:
    """What each unit adds to the sums that alpha is made of, shape (units, parts).

    First n of each value. Then, if nominal, how often a value meets itself, since options can be
    many; if ordinal, how often each value meets each.
    """
    values = list(dict.fromkeys(value for unit in units for value in unit))
    if scale == "ordinal":
        values.sort()
    at = {value: i for i, value in enumerate(values)}
    v = len(values)
    parts = np.zeros((len(units), v + (1 if scale == "nominal" else v * v)))
    for row, unit in zip(parts, units, strict=True):
        n = row[:v]
        for value, times in Counter(unit).items():
            n[at[value]] = times
        met = n * (n - 1) if scale == "nominal" else np.outer(n, n) - np.diag(n)
        row[v:] = (met.sum() if scale == "nominal" else met.ravel()) / (len(unit) - 1)
    return parts


def _alpha(sums: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Alpha of each row of sums of `_parts`; NaN where only one value is there."""
    if scale == "nominal":
        n_c, same = sums[:, :-1], sums[:, -1]
        n = n_c.sum(axis=1)
        observed = n - same
        expected = n**2 - (n_c**2).sum(axis=1)
    else:
        v = math.isqrt(sums.shape[1])  # v + v^2 columns
        n_c, met = sums[:, :v], sums[:, v:].reshape(len(sums), v, v)
        n = n_c.sum(axis=1)
        # The sum of all values between two is the difference of their middle ranks.
        rank = np.cumsum(n_c, axis=1) - n_c / 2
        apart = (rank[:, :, None] - rank[:, None, :]) ** 2
        observed = (met * apart).sum(axis=(1, 2))
        expected = (n_c[:, :, None] * n_c[:, None, :] * apart).sum(axis=(1, 2))
    return 1 - ratio((n - 1) * observed, expected, empty=np.nan)
