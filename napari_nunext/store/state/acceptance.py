"""What a person vouches for: the nuclei of a region, as they saw them.

An acceptance is of what was on the screen. The event carries a digest of it, so that the fold can
tell whether the nuclei that the journal puts in its place are the ones that were seen. What the
same person edits afterwards they have seen too, unless they took it in from a file. Whatever else
changes the nuclei of the region makes the acceptance *changed since*: it is no truth until someone
accepts again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import points_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.state.reviewed import ReviewedNucleus


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A region that a person accepted, and whether it still stands for what they saw."""

    region: Box
    annotator: str | None
    changed: bool = False
    """Whether its nuclei are others than this person saw or made."""
    lasting: bool = field(default=False, compare=False)
    """Whether it is changed by something that came after it: nothing that a run says later can
    then make it whole."""

    def overtaken(self) -> Acceptance:
        """The same after someone or something else changed its nuclei."""
        return self if self.lasting else replace(self, changed=True, lasting=True)


def is_truth(nucleus: ReviewedNucleus) -> bool:
    """Whether a nucleus counts as one: a rejected one is in view, and is none."""
    return nucleus.status != "rejected"


def truth_in(nuclei: Iterable[ReviewedNucleus], region: Box) -> list[Nucleus]:
    """The nuclei that an acceptance of `region` says are there: all that stand in it, no others."""
    standing = [n.nucleus for n in nuclei if is_truth(n)]
    inside = region.contains(points_of(standing)).tolist()
    return [n for n, is_inside in zip(standing, inside, strict=True) if is_inside]


def after_edit(
    acceptances: tuple[Acceptance, ...],
    annotator: str | None,
    before: ReviewedNucleus | None,
    after: ReviewedNucleus | None,
) -> tuple[Acceptance, ...]:
    """The acceptances after someone's edit of one nucleus: those of others may be overtaken.

    `annotator` is who made the edit and so has seen it; None where nobody has: a file said it.
    """
    old = None if before is None or not is_truth(before) else before.nucleus
    new = None if after is None or not is_truth(after) else after.nucleus
    if old == new:
        return acceptances
    places_xy = points_of([n for n in (old, new) if n is not None])
    return tuple(
        a.overtaken()
        if (annotator is None or a.annotator != annotator) and a.region.contains(places_xy).any()
        else a
        for a in acceptances
    )


def after_run(acceptances: tuple[Acceptance, ...], region: Box) -> tuple[Acceptance, ...]:
    """The acceptances after a run became the base of `region`.

    Every one that shares an area with it is overtaken, whatever the run finds: what a search found
    there nobody has looked at, whoever started it.
    """
    return tuple(a.overtaken() if have_common_area(a.region, region) else a for a in acceptances)


def may_depend_on(acceptances: tuple[Acceptance, ...], points_xy: PointsXY) -> bool:
    """Whether predictions at these places, shape (N, 2), can change what an acceptance is."""
    open_regions = (a.region for a in acceptances if not a.lasting)
    return any(_any(region.contains(points_xy)) for region in open_regions)


def _any(flags: NDArray[np.bool_]) -> bool:
    return bool(flags.any())


def have_common_area(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    common = one.clipped_to(other)
    return common.width > 0 and common.height > 0
