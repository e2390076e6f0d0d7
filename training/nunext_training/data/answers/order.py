"""In which order rows are shown: a function of the seed, step after step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shown_in_turn(rows: int, count: int, seed: int) -> NDArray[np.int64]:
    """Places of rows in the order in which they are shown, shape (count,).

    Each is shown once before any is shown again. Batches are cut from this one order: all of them
    are full, and processes that share a run cut the batches that one process would cut.

    Parameters
    ----------
    rows : int
        How many there are, one or more.
    count : int
        How many are shown.
    seed : int
    """
    times = range(-(-count // rows))
    drawn = [np.random.default_rng((seed, 3, time)).permutation(rows) for time in times]
    return np.concatenate([np.empty(0, np.int64), *drawn])[:count]
