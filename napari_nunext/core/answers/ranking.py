"""Which answerer people prefer: the Bradley-Terry model of their blind votes, with intervals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.answers.enough import FEWEST, NotEnough
from napari_nunext.core.answers.opinions import PREFERRED
from napari_nunext.core.bootstrap import LEVEL, RESAMPLES, SEED, interval_of
from napari_nunext.core.errors import InputError
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.answers.opinions import Preferred
    from napari_nunext.core.bootstrap import Interval

RIDGE = 0.01
"""Weight of the squared strengths: keeps them finite where one side won every vote."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a reader said of two answers that stood side by side.

    Raises
    ------
    InputError
        If `preferred` is none of its words.
    """

    left: str
    """Whose answer stood there: the name of an answerer, or of what else is compared."""
    right: str
    preferred: Preferred
    blind: bool
    """Whether the names were hidden."""
    annotator: str

    def __post_init__(self) -> None:
        if self.preferred not in PREFERRED:
            raise InputError(
                f"A vote prefers {self.preferred!r}; expected one of {', '.join(PREFERRED)}."
            )


@dataclass(frozen=True, slots=True)
class Standing:
    """How one of those that were compared stands."""

    name: str
    strength: float
    """Log odds to be preferred, against one of strength 0; all add up to 0."""
    share: float
    """Of the votes it would get if it met each of the others equally often, 0 to 1."""
    interval: Interval
    """Of `share`. A strength has no upper end where a side won every vote; a share has."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Those that were compared, the most preferred first, and the votes that say so."""

    standings: tuple[Standing, ...]
    votes: int
    """Blind ones that decide between two: `ties` among them, `both_bad` not."""
    ties: int
    both_bad: int
    """Blind votes that found neither answer good. They count for nobody."""
    named: int
    """Votes of people who saw the names. They count for nothing here."""
    readers: int

    @property
    def sure(self) -> bool:
        """Whether no two neighbours' intervals overlap."""
        return all(a.interval.low > b.interval.high for a, b in pairwise(self.standings))

    @property
    def in_words(self) -> str:
        """One sentence for people."""
        shares = ", ".join(
            f"{each.name} {each.share:.0%} ({each.interval.low:.0%} to {each.interval.high:.0%})"
            for each in self.standings
        )
        sentence = (
            f"In {counted(self.votes, 'blind vote')} by {counted(self.readers, 'reader')}, ties as "
            f"halves, the shares are {shares}, with {LEVEL:.0%} intervals"
        )
        if not self.sure:
            sentence += "; where intervals overlap the order is not sure"
        if self.both_bad:
            sentence += f"; {self.both_bad} found both bad"
        return f"{sentence}."


def rank(votes: Iterable[Vote]) -> Ranking | NotEnough:
    """Rank by blind votes alone.

    A tie is half a vote for each. Votes between two answers of one name say nothing of others, and
    are left out; so are those in which a person did not say. Intervals are percentile bootstrap:
    votes are drawn with replacement.

    Each two that were compared have one vote more each way that nobody cast, and these are drawn
    along (ours, after Laplace's rule of succession). Without them a side that won 20 of 20 votes
    would have won every drawing, and its interval no width.
    """
    every = [v for v in votes if v.left != v.right and v.preferred != "skipped"]
    blind = [vote for vote in every if vote.blind]
    cast = [vote for vote in blind if vote.preferred != "both_bad"]
    if len(cast) < FEWEST:
        return NotEnough(
            f"there are {len(cast)} of the {FEWEST} blind votes between two that it takes"
        )
    names = sorted({name for vote in cast for name in (vote.left, vote.right)})
    at = {name: i for i, name in enumerate(names)}
    outcomes = Counter(_outcome(vote, at) for vote in cast)
    met = {tuple(sorted(outcome[:2])) for outcome in outcomes}
    if _unconnected(met, len(names)):
        return NotEnough("some of them were never compared, not even through others")
    for i, j in met:
        outcomes.update([(i, j, False), (j, i, False)])
    # By order, so that neither the order of votes nor their sides change what is drawn.
    kinds = sorted(outcomes)
    times = np.array([outcomes[kind] for kind in kinds])
    wins_of = _wins_of(kinds, len(names))
    strengths = bradley_terry(np.tensordot(times, wins_of, axes=1))
    drawn = np.random.default_rng(SEED).multinomial(
        times.sum(), times / times.sum(), size=RESAMPLES
    )
    drawn_shares = _shares(bradley_terry(np.tensordot(drawn, wins_of, axes=1)))
    shares = _shares(strengths)
    standings = []
    for i in np.argsort(-strengths.round(9), kind="stable").tolist():
        interval = interval_of(drawn_shares[:, i])
        assert interval is not None  # a share is a number always
        standings.append(Standing(names[i], float(strengths[i]), float(shares[i]), interval))
    return Ranking(
        tuple(standings),
        votes=len(cast),
        ties=sum(vote.preferred == "tie" for vote in cast),
        both_bad=len(blind) - len(cast),
        named=len(every) - len(blind),
        readers=len({vote.annotator for vote in cast}),
    )


def bradley_terry(wins: ArrayLike, ridge: float = RIDGE) -> NDArray[np.float64]:
    """Strengths that make the wins likeliest, less ``ridge / 2`` times their squares.

    The probability that i is preferred to j is ``1 / (1 + exp(s_j - s_i))`` (R. A. Bradley and
    M. E. Terry, Biometrika 39, 1952). Newton's method with all tables at once; a step that changes
    a difference of strengths by more than 1 is cut to 1, and so none makes it worse.

    Parameters
    ----------
    wins : array_like, shape (..., K, K)
        How often i was preferred to j; parts of votes as well. Its diagonal does not count.
    ridge : float
        More than 0.

    Returns
    -------
    ndarray, shape (..., K)
        Log odds that add up to 0.
    """
    off = 1 - np.eye(np.shape(wins)[-1])
    won = np.asarray(wins, dtype=np.float64) * off
    met = won + np.swapaxes(won, -1, -2)
    strengths = np.zeros(won.shape[:-1])
    for _ in range(_MOST_STEPS):
        chance = scipy.special.expit(strengths[..., :, None] - strengths[..., None, :])
        gradient = (won - met * chance).sum(axis=-1) - ridge * strengths
        spread = met * chance * (1 - chance)
        curvature = np.eye(won.shape[-1]) * (spread.sum(axis=-1) + ridge)[..., None] - spread
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        step /= np.maximum(1.0, np.ptp(step, axis=-1))[..., None]
        strengths = strengths + step
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return strengths


_MOST_STEPS = 200
"""More than are ever needed: strengths grow with the logarithm of votes over the ridge."""


def _outcome(vote: Vote, at: dict[str, int]) -> tuple[int, int, bool]:
    """Who won over whom, and whether they tied, whichever side they stood on."""
    left, right = at[vote.left], at[vote.right]
    if vote.preferred == "tie":
        return min(left, right), max(left, right), True
    return (left, right, False) if vote.preferred == "left" else (right, left, False)


def _unconnected(met: Iterable[tuple[int, ...]], count: int) -> bool:
    i, j = np.array(sorted(met)).T
    graph = scipy.sparse.coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    return int(scipy.sparse.csgraph.connected_components(graph, directed=False)[0]) > 1


def _wins_of(kinds: Sequence[tuple[int, int, bool]], count: int) -> NDArray[np.float64]:
    """What each kind of outcome adds to the table of wins, shape (kinds, count, count)."""
    wins = np.zeros((len(kinds), count, count))
    for row, (i, j, tied) in zip(wins, kinds, strict=True):
        row[i, j] = 0.5 if tied else 1.0
        row[j, i] = 0.5 if tied else 0.0
    return wins


def _shares(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean chance against each of the others."""
    chance = scipy.special.expit(strengths[..., :, None] - strengths[..., None, :])
    count = strengths.shape[-1]
    mean: NDArray[np.float64] = (chance.sum(axis=-1) - 0.5) / (count - 1)
    return mean
