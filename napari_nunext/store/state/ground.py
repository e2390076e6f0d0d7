"""What runs said, as columns: the nuclei of a state that nobody touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.predictions import Predictions
from napari_nunext.store.state.places import Places
from napari_nunext.store.state.reviewed import ReviewedNucleus, recategorised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask

_MIXERS = np.random.default_rng(0).integers(2**64, size=6, dtype=np.uint64) | np.uint64(1)
"""Odd, so that no two numbers become the same when one is multiplied."""


@dataclass(frozen=True, eq=False)
class Ground:
    """N nuclei as runs said them, in the order of the state. Never changes."""

    said: Predictions
    called: tuple[str, ...]
    """What each of the categories in `said.names` is called now; two may be called the same."""
    run_ids: tuple[str, ...]
    run: NDArray[np.intp]
    """Place in `run_ids`, shape (N,); -1 where a person placed the nucleus: they touched it."""

    @classmethod
    def bare(cls) -> Ground:
        """Nobody said anything."""
        return cls(Predictions.of(), (), (), np.empty(0, dtype=np.intp))

    def __len__(self) -> int:
        return len(self.run)

    def __getitem__(self, row: int) -> ReviewedNucleus:
        if row not in self._made:
            nucleus = recategorised(self.said[row], self.called[self.said.category[row]])
            self._made[row] = self._reviewed(nucleus, int(self.run[row]))
        return self._made[row]

    @cached_property
    def _made(self) -> dict[int, ReviewedNucleus]:
        """Those that somebody asked for one by one: the next question is often about them too."""
        return {}

    def row_of(self, uid: UUID) -> int | None:
        """Where a nucleus stands; None where it does not."""
        if uid not in self._found:
            self._found[uid] = self.said.row_of(uid)
        return self._found[uid]

    @cached_property
    def _found(self) -> dict[UUID, int | None]:
        """What somebody asked for: a gesture asks for each of its nuclei many times."""
        return {}

    def nuclei(self, rows: NDArray[np.intp]) -> Iterator[ReviewedNucleus]:
        """Make those of some rows, in that order."""
        said = replace(self.said.at(rows), names=self.called)
        for nucleus, run in zip(said, self.run[rows].tolist(), strict=True):
            yield self._reviewed(nucleus, run)

    def _reviewed(self, nucleus: Nucleus, run: int) -> ReviewedNucleus:
        xy = (nucleus.x_px, nucleus.y_px)
        return ReviewedNucleus(nucleus, self.run_ids[run], predicted_xy=xy)

    def get_ready(self) -> None:
        """Make now, in whatever thread this is, what the first look and the first edit ask for."""
        _ = self.places, self.counted, self.said.by_uid, self.said.masks.boxes_px

    @cached_property
    def places(self) -> Places:
        """Where they lie, and of which category they are in `said.names`."""
        return Places(self.said.points_xy, self.said.category, len(self.said.names))

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """How many there are of each category in `said.names`."""
        return np.bincount(self.said.category, minlength=len(self.said.names))

    @cached_property
    def mask_keys(self) -> NDArray[np.int64]:
        """`mask_keys_at` of all rows."""
        return self.mask_keys_at(np.arange(len(self)))

    def mask_keys_at(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """A number below 0 for each mask of a run, which no other has; 0 for no mask.

        It follows from uid and box: a run outlines a nucleus once, but one that goes on after it
        was broken off may give the uid of a window that was not done to another nucleus.
        """
        masks = self.said.masks
        halves = np.ascontiguousarray(self.said.uids[rows]).view(">u8").astype(np.uint64)
        numbers = np.column_stack((halves, masks.boxes_px[rows].astype(np.uint64)))
        mixed = (numbers * _MIXERS).sum(axis=1, dtype=np.uint64)
        keys = -(mixed >> np.uint64(1)).astype(np.int64) - 1
        return np.where(masks.drawn_at(rows) & (self.run[rows] >= 0), keys, 0)

    def calling(self, called: tuple[str, ...]) -> Ground:
        """The same rows, whose categories are called something else."""
        # What is known of the rows does not hang on names.
        return self._knowing(
            replace(self, called=called), "mask_keys", "_found", "places", "counted"
        )

    def outlined(self, masks: Mapping[UUID, Mask]) -> Ground:
        """The same rows with masks for those of some uids."""
        said = self.said.with_masks(masks)
        return self._knowing(replace(self, said=said), "_found", "places", "counted")

    def _knowing(self, made: Ground, *same: str) -> Ground:
        """Let another ground know what is known of this one and is the same there."""
        made.__dict__.update({name: self.__dict__[name] for name in same if name in self.__dict__})
        return made

    def at(self, rows: NDArray[np.intp]) -> Ground:
        """Some rows."""
        return replace(self, said=self.said.at(rows), run=self.run[rows])

    def joined(self, said: Predictions, run_id: str | None) -> Ground:
        """These rows, and then others; all are called what their categories are called now."""
        both = with_names(self.said, self.called).joined(said)
        run_ids = self.run_ids
        if run_id is not None and run_id not in run_ids:
            run_ids = (*run_ids, run_id)
        run = -1 if run_id is None else run_ids.index(run_id)
        made = Ground(both, both.names, run_ids, np.append(self.run, np.full(len(said), run)))
        if "places" in self.__dict__ and self.called == self.said.names:  # or codes are others
            places = self.places.grown(both.points_xy, both.category, len(both.names))
            made.__dict__["places"] = places
        return made


def with_names(said: Predictions, names: Sequence[str]) -> Predictions:
    """The same predictions with other names of their categories, two of which may be the same."""
    if tuple(names) == said.names:
        return said
    unique = tuple(dict.fromkeys(names))
    codes = np.array([unique.index(name) for name in names], dtype=said.category.dtype)
    return replace(said, category=codes[said.category], names=unique)
