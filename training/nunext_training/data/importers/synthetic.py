"""Drawn tiles in the form of a data set: every nucleus with its exact mask and category."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.synthetic import synthesise
from nunext_training.data.importers.reading import ONE_IN, pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from napari_nunext.core.formats.records import Split
    from napari_nunext.synthetic import SynthesisOptions

NAME = "synthetic"
MPP = 0.5
TISSUE = "Synthetic"


class DrawnTiles(Sequence[LabelledImage]):
    """Tiles that are drawn when they are asked for, so that any number fits into memory.

    Tile i is a function of the seed and i alone; more tiles begin with the same ones.

    Parameters
    ----------
    count, size_px : int
        How many, and the side of each.
    mpp : float
    seed : int
        0 or more.
    split : {"train", "val", "test"}, optional
        Of every tile; when None, of every `ONE_IN` the last validates, and the others train.
    options : SynthesisOptions, optional

    Raises
    ------
    InputError
        If a number is out of range; of `size_px` and `mpp`, when the first tile is drawn.
    """

    def __init__(
        self,
        count: int,
        *,
        size_px: int,
        mpp: float,
        seed: int,
        split: Split | None = None,
        options: SynthesisOptions | None = None,
    ) -> None:
        if count < 1 or seed < 0:
            raise InputError(
                f"{count} tiles of seed {seed}; expected at least 1 tile and a seed from 0 up."
            )
        self._count, self._size_px, self._mpp = count, size_px, mpp
        self._seed, self._split, self._options = seed, split, options

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> LabelledImage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledImage]: ...

    def __getitem__(self, index: int | slice) -> LabelledImage | Sequence[LabelledImage]:
        """Draw one tile, or each of a slice."""
        if isinstance(index, slice):
            return [self._draw(i) for i in range(self._count)[index]]
        return self._draw(range(self._count)[index])

    def _draw(self, index: int) -> LabelledImage:
        tile = synthesise(
            np.random.default_rng([self._seed, index]),
            height_px=self._size_px,
            width_px=self._size_px,
            mpp=self._mpp,
            options=self._options,
        )
        name = f"{NAME}-{self._seed}-{index}"
        path = Path(f"{name}.png")
        side = self._size_px
        return LabelledImage(
            name=name,
            path=path,
            mpp=self._mpp,
            mpp_source="user",
            points_xy=tile.points_xy,
            categories=tuple(n.category for n in tile.nuclei),
            split=self._split or ("val" if index % ONE_IN == ONE_IN - 1 else "train"),
            patient=pseudonym(name),
            masks=tuple(n.mask for n in tile.nuclei),
            tissue=TISSUE,
            opener=lambda: image_from_pixels(path, side, side, tile.rgb.copy),
        )
