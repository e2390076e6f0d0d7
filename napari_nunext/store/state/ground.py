"""What runs said, as columns: the nuclei of a state that nobody touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.predictions import Predictions
from napari_nunext.store.state.reviewed import ReviewedNucleus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ground:
    """N nuclei as runs said them, in the order of the state. Never changes."""

    said: Predictions
    called: tuple[str, ...]
    """What each of the categories in `said.names` is called now; two may be called the same."""
    run_ids: tuple[str, ...]
    """Of all runs over the image, in the order in which they were started."""
    run: NDArray[np.int32]
    """Place in `run_ids`, shape (N,); -1 where a person placed the nucleus: they touched it."""
    place: NDArray[np.int64]
    """Of the prediction in its run, shape (N,)."""

    @classmethod
    def bare(cls) -> Ground:
        """Nobody said anything."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(Predictions.of(), (), (), nothing.astype(np.int32), nothing)

    def __len__(self) -> int:
        return len(self.run)

    def __getitem__(self, row: int) -> ReviewedNucleus:
        if row not in self._made:
            (self._made[row],) = self.nuclei(np.array([row]))
        return self._made[row]

    @cached_property
    def _made(self) -> dict[int, ReviewedNucleus]:
        """Those that somebody asked for one by one: the next question is often about them too."""
        return {}

    def nuclei(self, rows: NDArray[np.intp]) -> Iterator[ReviewedNucleus]:
        """Make those of some rows, in that order."""
        said = replace(self.said.at(rows), names=self.called)
        for nucleus, run in zip(said, self.run[rows].tolist(), strict=True):
            xy = (nucleus.x_px, nucleus.y_px)
            yield ReviewedNucleus(nucleus, self.run_ids[run], predicted_xy=xy)

    @cached_property
    def mask_keys(self) -> NDArray[np.int64]:
        """A number below 0 for each mask, of which no other run's has the same; 0 for no mask."""
        keys = -((self.run.astype(np.int64) << 40) + self.place + 1)
        return np.where(self.said.masks.drawn, keys, 0)

    def at(self, rows: NDArray[np.intp]) -> Ground:
        """Some rows."""
        said = self.said.at(rows)
        return replace(self, said=said, run=self.run[rows], place=self.place[rows])

    def joined(
        self, said: Predictions, run_ids: tuple[str, ...], run: int, place: NDArray[np.int64]
    ) -> Ground:
        """These rows, and then others; all are called what their categories are called now."""
        both = with_names(self.said, self.called).joined(said)
        runs = np.full(len(said), run, dtype=np.int32)
        return Ground(
            both,
            both.names,
            run_ids,
            np.concatenate((self.run, runs)),
            np.concatenate((self.place, place)),
        )


def with_names(said: Predictions, names: Sequence[str]) -> Predictions:
    """The same predictions with other names of their categories, two of which may be the same."""
    if tuple(names) == said.names:
        return said
    unique = tuple(dict.fromkeys(names))
    codes = np.array([unique.index(name) for name in names], dtype=said.category.dtype)
    return replace(said, category=codes[said.category], names=unique)
