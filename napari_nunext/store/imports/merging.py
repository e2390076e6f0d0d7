"""What a file of nuclei says that a project does not: corrections, merged nucleus by nucleus.

A nucleus of the file is one of ours that has its uid, or else the one that lies within
`REPEAT_RADIUS_UM` of it; what is left is new. Nothing that people did here is lost to a file:

- A value that ours had before (its category, place, outline or status) is an old one: the file was
  written before ours was corrected, or is read again. Ours is newer, and stays.
- Who was rejected or deleted stays so, whatever the file says.
- A nucleus that the file lacks stays, unless the person says that it was deleted there.
- A value that the file cannot say (no category, no outline) changes nothing.

So a file that is read again changes nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import UNCATEGORISED, points_of
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import events
from napari_nunext.store.state.acceptance import is_truth
from napari_nunext.store.state.folding import REPEAT_RADIUS_UM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from napari_nunext.core.marks import MarkedNucleus
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.events import Event
    from napari_nunext.store.state.reviewed import ReviewedNucleus
    from napari_nunext.store.state.state import FieldState

PLACE_TOLERANCE_PX = 0.006
"""Files have places with two decimals."""
SHIFT_PX = 0.5
"""An outline whose centroid went further was moved, not only drawn better."""
APART_PX = 1.0
"""A place so far from the centroid of its outline is one that the file gives by itself."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What a file changes here."""

    events: tuple[Event, ...]
    """One gesture without its group; empty where nothing changes."""
    counts: Counter[str]
    """Nuclei of which each thing is true: ``same``, ``moved``, ``outlined``, ``recategorised``,
    ``judged``, ``new``, ``older``, ``gone``, ``absent``, ``deleted``."""
    known: int = 0
    """Nuclei of the file whose uid this project knows."""

    @property
    def words(self) -> str:
        """What would happen, or has; a phrase."""
        phrases = [
            f"{self.counts[what]} {words}" for what, words in _WORDS.items() if self.counts[what]
        ]
        return ", ".join(phrases) or "no nucleus"


_WORDS = {
    "same": "as they are here",
    "moved": "moved",
    "outlined": "with another outline",
    "recategorised": "of another category",
    "judged": "accepted, rejected or flagged there",
    "new": "new",
    "deleted": "of yours deleted there",
    "older": "older than yours, which stay",
    "gone": "that you deleted or rejected stay so",
    "absent": "of yours are not in the file and stay",
}


def merge(
    state: FieldState,
    entry: ImageEntry,
    incoming: Sequence[MarkedNucleus],
    *,
    named: Callable[[str], str] = lambda name: name,
    absent_deleted: bool = False,
) -> Merge:
    """Compare the nuclei of a file with those of an image.

    Parameters
    ----------
    state : FieldState
        The image as it stands.
    entry : ImageEntry
    incoming : sequence of MarkedNucleus
        Whose uids are those under which they would be added.
    named : callable
        What a category is called now.
    absent_deleted : bool
        Whether a nucleus that stands here and not in the file was deleted there.
    """
    return _Merger(state, entry, named).merged(incoming, absent_deleted)


@dataclass(slots=True)
class _Past:
    """The values that a nucleus had here."""

    categories: set[str] = field(default_factory=set)
    places_xy: list[tuple[float, float]] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def remember(
        self, category: str | None, place_xy: tuple[float, float] | None, mask: Mask | None
    ) -> None:
        if category is not None:
            self.categories.add(category)
        if place_xy is not None:
            self.places_xy.append(place_xy)
        if mask is not None:
            self.masks.append(mask)


class _Merger:
    def __init__(self, state: FieldState, entry: ImageEntry, named: Callable[[str], str]) -> None:
        self._state = state
        self._entry = entry
        self._named = named
        self._predicted: dict[UUID, list[tuple[str, Nucleus]]] = defaultdict(list)
        """What runs said, and what it is called now."""
        called = {base.run_id: base.called for base in state.bases}
        for run in state.runs.values():
            now = called.get(run.run_id, named)
            for n in run.nuclei:
                self._predicted[n.uid].append((now(n.category), n))
        self._events: dict[UUID, list[Event]] = defaultdict(list)
        for event in state.in_force():
            if event.uid is not None:
                self._events[event.uid].append(event)

    def merged(self, incoming: Sequence[MarkedNucleus], absent_deleted: bool) -> Merge:
        counts: Counter[str] = Counter()
        found: list[Event] = []
        pairs, new, known = self._paired(incoming, counts)
        for theirs, ours, by_uid in pairs:
            found += self._changes(theirs, ours, by_uid, counts)
        for theirs in new:
            found += self._addition(theirs)
        counts["new"] += len(new)
        here = {ours.uid for _, ours, _ in pairs}
        absent = [n.uid for n in self._state.nuclei.values() if is_truth(n) and n.uid not in here]
        counts["deleted" if absent_deleted else "absent"] += len(absent)
        if absent_deleted:
            found += [events.delete(self._entry.sha256, uid) for uid in absent]
        return Merge(tuple(found), counts, known)

    # Who is who

    def _paired(
        self, incoming: Sequence[MarkedNucleus], counts: Counter[str]
    ) -> tuple[list[tuple[MarkedNucleus, ReviewedNucleus, bool]], list[MarkedNucleus], int]:
        """Pairs and whether the uid told, what is left of the file, how many uids are known."""
        ours = self._state.nuclei
        pairs: list[tuple[MarkedNucleus, ReviewedNucleus, bool]] = []
        rest: list[MarkedNucleus] = []
        new: list[MarkedNucleus] = []
        known = 0
        for theirs in incoming:
            uid = theirs.nucleus.uid
            known += theirs.identified and (uid in self._predicted or uid in self._events)
            if uid in ours:
                pairs.append((theirs, ours[uid], True))
            elif uid in self._state.deleted:
                counts["gone"] += 1
            elif theirs.marks.stands:
                rest.append(theirs)
            else:
                new.append(theirs)
        taken = {n.uid for _, n, _ in pairs}
        free = [n for n in ours.values() if n.uid not in taken]
        matching = match_points(
            points_of([n.nucleus for n in rest]),
            points_of([n.nucleus for n in free]),
            radius_px=REPEAT_RADIUS_UM / self._entry.mpp,
        )
        at = dict(zip(matching.pred_index.tolist(), matching.true_index.tolist(), strict=True))
        pairs += [(theirs, free[at[i]], False) for i, theirs in enumerate(rest) if i in at]
        new += [theirs for i, theirs in enumerate(rest) if i not in at]
        return pairs, new, known

    def _past(self, uid: UUID) -> _Past:
        """The values that a nucleus had here, as far as they were not taken back."""
        past = _Past()
        for called, n in self._predicted[uid]:
            past.remember(called, (n.x_px, n.y_px), n.mask)
        for event in self._events[uid]:
            p = event.payload
            category = self._named(p["category"]) if "category" in p else None
            place_xy = (p["x_px"], p["y_px"]) if "x_px" in p else None
            past.remember(category, place_xy, event.mask if "mask" in p else None)
            past.said.add(f"{event.kind} {p.get('flagged', '')}".strip())
        return past

    # What differs

    def _changes(
        self,
        theirs: MarkedNucleus,
        ours: ReviewedNucleus,
        by_uid: bool,
        counts: Counter[str],
    ) -> list[Event]:
        if not is_truth(ours):
            counts["same" if not theirs.marks.stands else "gone"] += 1
            return []
        past = self._past(ours.uid)
        made: list[Event] = []
        older: list[bool] = []
        for what, found, is_older in (
            ("recategorised", *self._category(theirs.nucleus, ours, past)),
            *self._geometry(theirs.nucleus, ours, by_uid, past),
            ("judged", *self._marks(theirs, ours, past)),
        ):
            is_drawn_along = what == "outlined" and any(e.kind == "move" for e in made)
            made += found
            counts[what] += bool(found) and not is_drawn_along
            older.append(is_older)
        if not made:
            counts["older" if any(older) else "same"] += 1
        return made

    def _category(
        self, theirs: Nucleus, ours: ReviewedNucleus, past: _Past
    ) -> tuple[list[Event], bool]:
        name = self._named(theirs.category)
        if name in (UNCATEGORISED, ours.nucleus.category):
            return [], False
        if name in past.categories:
            return [], True
        return [events.relabel(self._entry.sha256, ours.uid, name)], False

    def _marks(
        self, theirs: MarkedNucleus, ours: ReviewedNucleus, past: _Past
    ) -> tuple[list[Event], bool]:
        sha256, uid = self._entry.sha256, ours.uid
        made: list[Event] = []
        is_older = False
        if theirs.marks.status not in ("unreviewed", ours.status):
            said = "accept" if theirs.marks.status == "accepted" else "reject"
            is_older = said in past.said
            make = events.accept if said == "accept" else events.reject
            made += [] if is_older else [make(sha256, uid)]
        if theirs.marks.flagged and not ours.flagged and "flag_nucleus True" not in past.said:
            made.append(events.flag_nucleus(sha256, uid))
        return made, is_older

    def _geometry(
        self, theirs: Nucleus, ours: ReviewedNucleus, by_uid: bool, past: _Past
    ) -> list[tuple[str, list[Event], bool]]:
        """What is to be done about the outline, then about the place; a move comes first."""
        sha256, mine = self._entry.sha256, ours.nucleus
        if theirs.mask == mine.mask and _is_at((mine.x_px, mine.y_px), (theirs.x_px, theirs.y_px)):
            return []
        outline = None if theirs.mask is None else self._plain(theirs.mask)
        drawn = None if mine.mask is None else self._plain(mine.mask)
        if outline is not None and not outline.area_px:
            outline = None
        is_another = outline is not None and outline != drawn
        may_outline = by_uid or drawn is None or not ours.touched
        is_older = is_another and any(self._plain(mask) == outline for mask in past.masks)
        draws = is_another and may_outline and not is_older
        target = self._target(theirs, mine, outline, drawn, draws) if by_uid else None
        if not by_uid and outline is not None and not outline.covers(mine.x_px, mine.y_px):
            draws = False  # beside our point: of a neighbour, as it seems
        went = target is not None and not any(_is_at(target, place) for place in past.places_xy)
        moves = [events.move(sha256, mine.uid, *target)] if target is not None and went else []
        return [
            ("moved", moves, target is not None and not went),
            ("outlined", [events.edit_mask(sha256, mine.uid, outline)] if draws else [], is_older),
        ]

    def _target(
        self,
        theirs: Nucleus,
        mine: Nucleus,
        outline: Mask | None,
        drawn: Mask | None,
        draws: bool,
    ) -> tuple[float, float] | None:
        """Where the nucleus was moved to; None where it was not."""
        here, there = (mine.x_px, mine.y_px), (theirs.x_px, theirs.y_px)
        if outline is None or math.dist(there, outline.centroid_xy) > APART_PX:
            return None if _is_at(here, there) else there
        if not draws:  # the file has the outline that is here, and no place beside it
            return None
        if drawn is None or not drawn.area_px:
            return None if outline.covers(*here) else there
        (x0, y0), (x1, y1) = drawn.centroid_xy, outline.centroid_xy
        if math.hypot(x1 - x0, y1 - y0) < SHIFT_PX:
            return None
        shifted = here[0] + x1 - x0, here[1] + y1 - y0
        return shifted if outline.covers(*shifted) else there

    def _plain(self, mask: Mask) -> Mask:
        """As files have it: cut to the image, in the smallest crop."""
        cut = mask.clipped_to(self._entry.width_px, self._entry.height_px)
        return Mask.from_array(cut.to_array(), cut.x0_px, cut.y0_px)

    # What is new

    def _addition(self, theirs: MarkedNucleus) -> list[Event]:
        n, sha256 = theirs.nucleus, self._entry.sha256
        category = self._named(n.category)
        made = [events.add(sha256, n.x_px, n.y_px, category, uid=n.uid, mask=n.mask)]
        if theirs.marks.status == "accepted":
            made.append(events.accept(sha256, n.uid))
        elif theirs.marks.status == "rejected":
            made.append(events.reject(sha256, n.uid))
        if theirs.marks.flagged:
            made.append(events.flag_nucleus(sha256, n.uid))
        return made


def _is_at(one_xy: tuple[float, float], other_xy: tuple[float, float]) -> bool:
    return all(abs(a - b) <= PLACE_TOLERANCE_PX for a, b in zip(one_xy, other_xy, strict=True))
