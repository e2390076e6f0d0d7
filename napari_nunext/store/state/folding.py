"""The nuclei and marks of an image while events are folded over them; `FieldState` freezes them.

What an event of each kind does is declared with the kind, in `store.kinds`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_nunext.core.naming import only_of
from napari_nunext.core.shapes.area import Area
from napari_nunext.core.shapes.regions import box_around, inside_any
from napari_nunext.core.uids import as_uids
from napari_nunext.store.event import KINDS
from napari_nunext.store.state.acceptance import after_edit, after_run
from napari_nunext.store.state.nucleus_map import Draft
from napari_nunext.store.state.renames import Renames, followed
from napari_nunext.store.state.reviewed import ReviewedNucleus
from napari_nunext.store.state.seen import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.marks import Status
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import Run
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.acceptance import Acceptance

REPEAT_RADIUS_UM = 2.0
"""A prediction this close to a correction says again what was corrected. Less than the radius of a
lymphocyte, so that a neighbour is not taken for a repetition."""


@dataclass(frozen=True, slots=True)
class Comment:
    """What someone said of the field, or of one nucleus."""

    text: str
    annotator: str | None
    at_utc: datetime | None
    uid: UUID | None


@dataclass(frozen=True, slots=True)
class Marks:
    """What people said of the field as a whole."""

    acceptances: tuple[Acceptance, ...] = ()
    flagged: bool = False
    comments: tuple[Comment, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)
    """Marks of further kinds, by the name that their fold gives them."""

    @property
    def accepted(self) -> bool:
        """Whether any part of it is accepted."""
        return bool(self.acceptances)


@dataclass(frozen=True, eq=False, slots=True)
class Base:
    """A `use_run` that is in force."""

    run_id: str
    region: Box
    radius_px: float
    blockers: scipy.spatial.cKDTree | None
    """Corrections that suppress predictions near them; None where there are none."""
    renames: Renames
    """What had become of categories' names when it was used."""
    area: Area
    """What of the region was searched."""
    asked: tuple[str, ...] = ()
    """Categories that were searched for alone, as the model calls them; everything without any."""
    known: tuple[str, ...] = ()
    """Categories of the model, as it calls them."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What nuclei are called now, by what the run says; as it says where that is not here."""

    def renamed(self, event: Event) -> Base:
        """The same after a category was renamed."""
        names = followed(self.names, event.payload["name"], event.payload["to"])
        return replace(self, names=names)

    def called(self, name: str) -> str:
        """What the run's nuclei of this name are called now."""
        return self.names.get(name, name)

    @property
    def only(self) -> frozenset[str] | None:
        """Categories that were searched for alone, as they are called now; None for everything.

        One that others were merged into, or that was merged into another, is among them where all
        of these were searched for: of the others nobody knows. So there may be none.
        """
        if not self.asked:
            return None
        others = {self.called(name) for name in self.known if name not in self.asked}
        return frozenset(map(self.called, self.asked)) - others

    def replaces(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which categories the run speaks of, shape (N,): of others it says nothing."""
        only = self.only
        return np.array([only is None or name in only for name in names], dtype=np.bool_)

    def covers(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Where the run is the base, or left out on purpose, shape (N,)."""
        covered = self.region.contains(points_xy)
        if self.area.within:
            covered &= inside_any(points_xy, self.area.within)
        return covered

    def searches(self, box: Box) -> bool:
        """Whether all of a box is the run's to search."""
        return self.region.covers(box) and self.area.covers(box)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes outside of which nothing was searched."""
        boxes = [box_around([each]).clipped_to(self.region) for each in self.area.within]
        return tuple(boxes) or (self.region,)

    def admits(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which predictions lie in the region and repeat no correction, shape (N,)."""
        admitted = self.region.contains(points_xy) & self.area.contains(points_xy)
        if self.blockers is not None and len(points_xy):
            distance_px, _ = self.blockers.query(points_xy)
            admitted &= distance_px > self.radius_px
        return admitted


def area_of(run: Run) -> Area:
    """What of its region a run has searched."""
    return Area.from_json(run.info.extra.get("area"))


class Fold:
    """The state of an image while events are applied to it, in the order of the journal.

    Parameters
    ----------
    runs : dict
        The runs over the image by their id.
    named : frozenset of UUID
        Nuclei that an event in force is about: a seam no longer hides them.
    """

    def __init__(self, runs: dict[str, Run], named: frozenset[UUID] = frozenset()) -> None:
        self.runs = runs
        self._named = named
        self.nuclei = Draft()
        self.deleted: dict[UUID, tuple[float, float]] = {}
        self.bases: tuple[Base, ...] = ()
        self.acceptances: tuple[Acceptance, ...] = ()
        self.flagged = False
        self.comments: tuple[Comment, ...] = ()
        self.said: dict[str, Any] = {}
        self.renames = Renames()
        self.tally = Tally()
        """Of the regions of which somebody wants to know what stands in them."""
        self.imports: frozenset[UUID] = frozenset()
        """Gestures in which a file was taken in: nobody has seen what they change."""

    def apply(self, event: Event) -> None:
        """Apply one edit that is in force."""
        fold = KINDS[event.kind].fold
        if fold is None:
            return
        if event.uid is None or not self.acceptances:
            fold(self, event)
            return
        before = self.nuclei.get(event.uid)
        fold(self, event)
        after = self.nuclei.get(event.uid)
        seen_by = None if event.group in self.imports else event.annotator
        self.acceptances = after_edit(self.acceptances, seen_by, before, after)

    @property
    def marks(self) -> Marks:
        """What was said of the field so far."""
        return Marks(self.acceptances, self.flagged, self.comments, self.said)

    @marks.setter
    def marks(self, marks: Marks) -> None:
        self.acceptances, self.flagged = marks.acceptances, marks.flagged
        self.comments, self.said = marks.comments, marks.said

    def about(self, event: Event) -> ReviewedNucleus | None:
        """The nucleus that an event is about; None where it is not there."""
        return None if event.uid is None else self.nuclei.get(event.uid)

    def touch(
        self,
        event: Event,
        old: ReviewedNucleus,
        *,
        nucleus: Nucleus | None = None,
        status: Status | None = None,
        flagged: bool | None = None,
    ) -> None:
        """Let a nucleus be as an event says, and touched by its annotator; None stays."""
        # In the order of the fields: names would make a refold slower.
        new = ReviewedNucleus(
            nucleus or old.nucleus,
            old.run_id,
            True,
            status or old.status,
            old.flagged if flagged is None else flagged,
            event.annotator,
            old.predicted_xy,
        )
        self.nuclei.put(new.uid, new)

    def say(self, name: str, value: Any) -> None:
        """Let a mark of the image, which has no field of its own, be this; compared, not changed.

        `FieldState.said` has it, and an undo brings back what stood there.
        """
        self.said = {**self.said, name: value}

    def is_as_seen(self, region: Box, seen: dict[str, Any]) -> bool:
        """Whether what stands in a region is what an event says that somebody saw."""
        return self.tally.is_as_said(seen, region, self.nuclei.finished())

    # The field

    def use(self, run: Run, region: Box) -> None:
        """Make what a run found the base of a region; what people touched stays.

        So do nuclei of categories that the run was not asked for, and where one of these lies the
        run adds no second nucleus.
        """
        radius_px = REPEAT_RADIUS_UM / run.info.mpp
        asked = only_of(run.info.decoding)
        known = (*(category.name for category in run.info.model.categories), *asked)
        named = (self.renames, area_of(run), asked, known, self.renames.of_run(known))
        base = Base(run.run_id, region, radius_px, None, *named)
        nuclei, said = self.nuclei, run.nuclei
        ground = nuclei.ground
        there = nuclei.untouched & base.covers(ground.said.points_xy)
        spoken_of = base.replaces(ground.called)[ground.said.category] if asked else True
        others_xy = ground.said.points_xy[np.flatnonzero(there & ~np.asarray(spoken_of))]
        blockers = self._blockers(radius_px, others_xy.tolist())
        base = replace(base, blockers=blockers)
        nuclei.let_go(there & spoken_of)
        nuclei.settle()
        absent = as_uids((*(run.hidden - self._named), *self.deleted))
        is_new = base.admits(said.points_xy) & ~nuclei.hold(said.uids)
        rows = said.rows_of(absent)
        is_new[rows[rows >= 0]] = False
        nuclei.grow(said, np.flatnonzero(is_new), run.run_id, base.names)
        self.bases = (*self.bases, base)
        for box in base.boxes:
            self.acceptances = after_run(self.acceptances, box)

    def _blockers(
        self, radius_px: float, others_xy: Sequence[tuple[float, float]] = ()
    ) -> scipy.spatial.cKDTree | None:
        corrections: list[tuple[float, float]] = list(others_xy)
        for n in self.nuclei.touched():
            here = (n.nucleus.x_px, n.nucleus.y_px)
            corrections.append(here)
            if n.predicted_xy is not None and n.predicted_xy != here:
                corrections.append(n.predicted_xy)
        if self.deleted:
            untouched_xy = self.nuclei.ground.said.points_xy[self.nuclei.untouched]
            corrections += self._lasting_deletions(untouched_xy, radius_px)
        return scipy.spatial.cKDTree(corrections) if corrections else None

    def _lasting_deletions(
        self, untouched_xy: PointsXY, radius_px: float
    ) -> list[tuple[float, float]]:
        """Deletions other than those of a duplicate, whose twin still stands untouched."""
        deletions = list(self.deleted.values())
        if len(untouched_xy) == 0:
            return deletions
        distance_px, _ = scipy.spatial.cKDTree(untouched_xy).query(deletions)
        return [xy for xy, d in zip(deletions, distance_px, strict=True) if d > radius_px]

    # The project's categories

    def call(self, event: Event) -> None:
        """A nucleus of a renamed category is the same nucleus: nobody has touched it by that."""
        self.renames = self.renames.after(event)
        if event.kind == "rename_category":
            self.nuclei.rename(event.payload["name"], event.payload["to"])
            self.bases = tuple(base.renamed(event) for base in self.bases)
