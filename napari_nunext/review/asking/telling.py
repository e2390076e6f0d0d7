"""What an answerer that reads nuclei is told: those of the region that stand, as corrected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.answers.points import MOST_NUCLEI
from napari_nunext.review.correcting.coverage import unseen_parts
from napari_nunext.store.answers import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.table import NucleusTable
    from napari_nunext.store import FieldState


@dataclass(frozen=True, slots=True)
class Telling:
    """Whether there is something to tell; a sentence each, empty where there is nothing to say."""

    lacks: str = ""
    """Why it cannot be asked yet."""
    doubt: str = ""
    """What a person should know who asks it."""


def look_at_nuclei(who: str, state: FieldState, table: NucleusTable, region: Box) -> Telling:
    """Say whether an answerer can be told the nuclei of a region.

    Parameters
    ----------
    who : str
        The answerer, as people call it.
    state, table
        The nuclei of the image.
    region : Box
        Level-0 px.
    """
    count = len(_rows(table, region))
    if is_unseen(state, table, region):
        return Telling(
            f"{who} reads nuclei, and nobody has looked for any here. Find them first, in Review."
        )
    if count > MOST_NUCLEI:
        return Telling(
            f"There are {count:,} nuclei here, and {who} reads {MOST_NUCLEI} or fewer. Ask about a "
            "smaller region."
        )
    if unseen_parts(state, region):
        return Telling(
            doubt="A part of this was neither searched to its end nor corrected by hand: nuclei "
            "may be missing there."
        )
    return Telling()


def is_unseen(state: FieldState, table: NucleusTable, region: Box) -> bool:
    """Whether no nucleus stands in a region, and not all of it was looked at."""
    return not len(_rows(table, region)) and bool(unseen_parts(state, region))


def told_nuclei(table: NucleusTable, region: Box) -> Evidence:
    """The nuclei that stand in a region (level-0 px), with their categories."""
    rows = _rows(table, region)
    return Evidence(
        uids=table.uids[rows],
        places_xy=table.points_xy[rows],
        categories=tuple(table.names[place] for place in table.category[rows].tolist()),
    )


def _rows(table: NucleusTable, region: Box) -> NDArray[np.intp]:
    return np.flatnonzero(region.contains(table.points_xy) & ~table.rejected)
