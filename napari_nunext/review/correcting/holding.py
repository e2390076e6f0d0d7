"""Which nuclei of a large field are drawn one by one: those in view, when they are few enough.

napari's points of 100,000 nuclei take half a second a frame, and a million take three. Where a
field has too many to draw, the points are those of the view and of a margin around it, so that the
view can move without anything being drawn anew. Where even the view has too many, they would cover
the tissue: their density is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.shown.view import Held

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.review.table import NucleusTable

MOST_IN_FIELD = 20_000
"""Up to here a field's nuclei are all drawn, wherever one looks: a correction stays below 50 ms."""
MOST_IN_VIEW = 4_000
"""Points that are set and painted in 40 ms; a screen that has more shows nothing of the tissue."""
SPARE = 1.25
"""As many times more may there be before what is drawn is chosen anew: nuclei come by edits too."""
MARGINS = (0.5, 0.25, 0.1, 0.0)
"""Of the view's sides, on each side of it: the largest that has not too many."""


def held_for(table: NucleusTable, hidden: Collection[str], view: Box | None, before: Held) -> Held:
    """Which nuclei to draw one by one.

    Parameters
    ----------
    table : NucleusTable
    hidden : collection of str
        Categories that are not drawn.
    view : Box or None
        What is in view, level-0 px; None where that is not known.
    before : Held
        Kept while it covers the view and has not too many.
    """

    def shown(counts: dict[str, int]) -> int:
        return sum(count for name, count in counts.items() if name not in hidden)

    def count(box: Box) -> int:
        return shown(table.counts_within(box))

    if shown(table.counts()) <= MOST_IN_FIELD:
        return Held()
    if view is None:
        return Held(too_many=True)
    known = before.within
    if known is not None and known.covers(view) and count(known) <= MOST_IN_VIEW * SPARE:
        return before
    side = max(view.width, view.height)
    boxes = (view.grown(margin * side) for margin in MARGINS)
    chosen = next((box for box in boxes if count(box) <= MOST_IN_VIEW), None)
    return Held(too_many=True) if chosen is None else Held(chosen)


def drawn_of(places_xy: PointsXY, held: Held) -> PointsXY:
    """Of more places of nuclei than can be drawn, those whose nuclei are."""
    if len(places_xy) <= MOST_IN_FIELD:
        return places_xy
    return places_xy[[] if held.within is None else held.within.contains(places_xy)]
