"""Earlier tissue among the new: windows by which a parent keeps what it knew.

Which windows are replayed is settled by their places in the run, so that every batch has its part
of them; the new windows at the other places are those that a run without replay sees there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.spelling import one_spelling
from napari_nunext.synthetic.generate import MPP_DRAWN
from nunext_training.data.importers.synthetic import NAME, DrawnTiles
from nunext_training.data.labelled import nuclei_count, rename_categories, select_split
from nunext_training.data.sources import read_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.task import Examples
    from nunext_training.data.windows import Example
    from nunext_training.recipes.sections import WindowOptions

SIDE_PX = 256
"""Of a drawn tile."""
TEST_TILES = 16
"""Drawn tiles that are tested on, where nothing better is named: about 1,000 nuclei."""
SEEDS: dict[Split, int] = {"train": 2017, "val": 2018}
"""Of drawn tiles to learn from, and of others to test on: no run of ours draws with these."""


@dataclass(frozen=True, slots=True)
class EarlierTissue:
    """Images of what a parent knew, in its categories, and what they come from."""

    images: tuple[LabelledImage, ...]
    origins: tuple[dict[str, Any], ...]


def earlier_tissue(
    folders: Sequence[Path],
    category_names: Sequence[str],
    *,
    mpp: float,
    tiles: int,
    window_px: int = 0,
    split: Split = "train",
) -> EarlierTissue:
    """Read what is replayed, or draw it where there is no folder.

    Nuclei whose category the parent does not know teach where they are, and not what.

    Parameters
    ----------
    folders : sequence of Path
        Exports, or published data sets that an importer knows.
    category_names : sequence of str
        Of the parent.
    mpp : float
        Of drawn tiles, or the nearest scale that can be drawn.
    tiles : int
        How many are drawn.
    window_px : int
        Side of the parent's windows: no drawn tile is smaller.
    split : {"train", "val"}
        Which part of the folders; drawn tiles of one are not those of the other.

    Raises
    ------
    RecordError
        If a folder is no data set.
    InputError
        If the folders have no image in that split.
    """
    if folders:
        sources = read_whole(folders, strict=False)
        images = select_split([i for source in sources for i in source.images], split)
        if not images:
            raise InputError(
                f"{', '.join(map(str, folders))}: no image of earlier tissue in the {split} split. "
                "Name a folder that has some."
            )
        origins = tuple(source.origin for source in sources)
    else:
        seed, side_px = SEEDS[split], max(SIDE_PX, window_px)
        mpp = min(max(mpp, MPP_DRAWN[0]), MPP_DRAWN[1])
        images = _drawn(tiles, side_px, mpp, split)
        origins = (
            {
                "importer": NAME,
                "images": tiles,
                "nuclei": nuclei_count(images),
                "seed": seed,
                "side_px": side_px,
                "mpp": mpp,
            },
        )
    return EarlierTissue(_in_words_of(category_names, images), origins)


@lru_cache(maxsize=2)
def _drawn(tiles: int, side_px: int, mpp: float, split: Split) -> tuple[LabelledImage, ...]:
    """Drawn once in a process; each is a function of its seed and place alone."""
    return tuple(DrawnTiles(tiles, size_px=side_px, mpp=mpp, seed=SEEDS[split], split=split))


def held_out_of(folders: Sequence[Path], *, mpp: float) -> EarlierTissue:
    """Earlier tissue to test on: the folders' val split; drawn, where they have none."""
    try:
        return earlier_tissue(folders, (), mpp=mpp, tiles=TEST_TILES, split="val")
    except InputError:
        return earlier_tissue((), (), mpp=mpp, tiles=TEST_TILES, split="val")


def _in_words_of(
    known: Sequence[str], images: tuple[LabelledImage, ...]
) -> tuple[LabelledImage, ...]:
    if not known:
        return images
    spelling = {n.casefold(): s for n, s in one_spelling((), (UNCATEGORISED, *known)).items()}
    there = {name for image in images for name in image.categories}
    return rename_categories(
        images, {name: spelling.get(name.casefold(), UNCATEGORISED) for name in there}
    )


def as_widely_varied(options: WindowOptions) -> WindowOptions:
    """How earlier windows vary: at least as they did when the bundled detector learned from such.

    Few tiles then stand for many laboratories: what a parent says of them all is kept.
    """
    low, high = options.scale_range
    return replace(
        options,
        scale_range=(min(low, 0.7), max(high, 1.4)),
        turn=True,
        stain_strength=max(options.stain_strength, 0.35),
        scanner_strength=max(options.scanner_strength, 0.2),
    )


class Replayed:
    """New examples, with earlier ones in some of their places; a map-style data set.

    Parameters
    ----------
    new, earlier : Examples
        Of one length: the example at a place is that of the one or of the other.
    share : float
        Of places with an earlier one, less than 1. They are as evenly spread as can be.
    own : Examples, optional
        Of the new tissue as the parent would know it, in place of some of the earlier ones.
    own_share : float
        Of the earlier ones' places; likewise spread.
    """

    def __init__(
        self,
        new: Examples[Example],
        earlier: Examples[Example],
        share: float,
        *,
        own: Examples[Example] | None = None,
        own_share: float = 0.0,
    ) -> None:
        self._new, self._earlier, self._share = new, earlier, share
        self._own, self._own_share = own, own_share

    def __len__(self) -> int:
        return len(self._new)

    def __getitem__(self, index: int) -> Example:
        if not is_replayed(index, self._share):
            return self._new[index]
        number = int((index + 1) * self._share) - 1  # of this one among the earlier
        is_own = self._own is not None and is_replayed(number, self._own_share)
        known = self._own if self._own is not None and is_own else self._earlier
        return replace(known[index], replayed=True)


def is_replayed(index: int, share: float) -> bool:
    """Whether an earlier example is at this place, of 0 and up.

    Of the first n places, ``floor(n * share)`` are.

    >>> [is_replayed(i, 0.25) for i in range(8)]
    [False, False, False, True, False, False, False, True]
    """
    return int((index + 1) * share) > int(index * share)
