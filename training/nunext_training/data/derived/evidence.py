"""What an answerer is told of the nuclei of a window, before it is asked.

A performer that only ever reads the truth trusts what it reads, and one that only reads what its
own detector found never learns more than that. So windows to learn from have a mix: what was found,
that with some nuclei left out and some categories changed, and the truth. Windows that are held out
have what was found, as there will be when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.formats.answer_records import NamedPoint
    from napari_nunext.core.geometry import PointsXY

Told: TypeAlias = Literal["found", "disturbed", "true"]

MOST_DROPPED = 0.15
"""Share of the nuclei that is left out at most, where they are disturbed."""
MOST_FLIPPED = 0.25
"""Share of those left whose category is another one at most."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How often windows to learn from are told what; shares of 1.

    Raises
    ------
    InputError
        If they are no shares.
    """

    found: float = 0.45
    disturbed: float = 0.30
    true: float = 0.25

    def __post_init__(self) -> None:
        shares = (self.found, self.disturbed, self.true)
        if not (all(share >= 0 for share in shares) and abs(sum(shares) - 1) < 1e-6):
            raise InputError(
                f"The mix of evidence is {'/'.join(f'{s:g}' for s in shares)}; expected three "
                "shares whose sum is 1: found, disturbed, true."
            )

    def drawn(self, rng: np.random.Generator) -> Told:
        """Which of them a window has."""
        names: tuple[Told, ...] = ("found", "disturbed", "true")
        return names[int(rng.choice(3, p=(self.found, self.disturbed, self.true)))]


def disturbed(
    points_xy: PointsXY, categories: Sequence[str], names: Sequence[str], rng: np.random.Generator
) -> tuple[PointsXY, tuple[str, ...]]:
    """Nuclei with some left out, and some of the others called by another category of `names`.

    Each is left out with a probability that is drawn once for the window, up to `MOST_DROPPED`, and
    its category changed with another one, up to `MOST_FLIPPED`.
    """
    dropped, flipped = rng.uniform(0, (MOST_DROPPED, MOST_FLIPPED))
    kept = np.flatnonzero(rng.random(len(points_xy)) >= dropped)
    is_flipped = rng.random(len(kept)) < flipped
    said = []
    for index, flip in zip(kept.tolist(), is_flipped.tolist(), strict=True):
        others = [name for name in names if name != categories[index]]
        said.append(str(rng.choice(others)) if flip and others else categories[index])
    return points_xy[kept], tuple(said)


def named_points(points_xy: PointsXY, categories: Sequence[str]) -> tuple[NamedPoint, ...]:
    """As records have them, to a hundredth of a pixel."""
    places = np.round(points_xy, 2).tolist()
    return tuple((x, y, category) for (x, y), category in zip(places, categories, strict=True))
