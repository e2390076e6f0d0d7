"""What the latest gestures replaced, so that to undo one costs what it changed, not everything.

To take a gesture out of the fold, or to bring it back to its old place, means to fold everything
again. Where nothing that came later depends on it, the same comes of putting back what it had
replaced. A `Trail` knows what that was, and when it will not do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from napari_nunext.store.event import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID

    from napari_nunext.store.event import Event
    from napari_nunext.store.state.folding import Base, Fold, Marks
    from napari_nunext.store.state.nucleus_map import NucleusMap
    from napari_nunext.store.state.renames import Renames
    from napari_nunext.store.state.reviewed import ReviewedNucleus

    Entry: TypeAlias = tuple[ReviewedNucleus | None, tuple[float, float] | None]
    """A nucleus as it stood, and where it lay if it was deleted."""

LONGEST = 1000
"""Steps that are kept; to undo what is older, everything is folded again."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one gesture, or the part of it that was made at once, replaced."""

    group: UUID
    last_at: int
    """Place of its last event in the journal."""
    nuclei: dict[UUID, Entry]
    """Those that its events are about, as they were."""
    marks: Marks
    """The field's marks as they were."""
    renames: Renames | None = None
    """What had become of categories' names, where it changed that; None where it did not."""
    before: NucleusMap | None = None
    """All nuclei as they were, where it changed that: a new name may be every nucleus'."""
    bases: tuple[Base, ...] = ()
    """What runs were searched for, as it was called, where it changed that."""

    def may_hold_any(self, uids: Collection[UUID]) -> bool:
        """Whether what it replaced depends on any of these nuclei; an acceptance does on all."""
        held = self.nuclei.keys()
        return self.marks.accepted or self.renames is not None or not held.isdisjoint(uids)


@dataclass(frozen=True, slots=True)
class Trail:
    """The latest gestures that are in force, oldest first."""

    steps: tuple[Step, ...] = ()
    since: int = 0
    """Place in the journal from which on all that is in force is in the steps."""

    def without(self, group: UUID) -> Trail:
        """The trail once a gesture was taken back."""
        return replace(self, steps=tuple(step for step in self.steps if step.group != group))

    def beside_stream(self, uids: Collection[UUID], now: int) -> Trail:
        """The trail once a run has said more of some nuclei; `now` events are in the journal."""
        if any(s.may_hold_any(uids) for s in self.steps):
            return Trail(since=now)
        return self

    def replaced_by(self, group: UUID, events: Sequence[Event], marks: Marks) -> Step | None:
        """What to put back to undo a gesture; None where everything has to be folded again.

        `marks` are the field's now.
        """
        if _first_place(group, events) < self.since:
            return None
        first = next((i for i, step in enumerate(self.steps) if step.group == group), None)
        if first is None:
            return None
        mine = [step for step in self.steps[first:] if step.group == group]
        nuclei = {uid: old for step in reversed(mine) for uid, old in step.nuclei.items()}
        whole = replace(mine[0], nuclei=nuclei)
        later = [step for step in self.steps[first:] if step.group != group]
        is_last = not later
        is_free = (
            whole.renames is None and marks == whole.marks and _is_apart_from(nuclei, marks, later)
        )
        return whole if is_last or is_free else None

    def leaves_room_for(self, group: UUID, events: Sequence[Event], marks: Marks) -> bool:
        """Whether an undone gesture does at the end what it does in its old place.

        `marks` are the field's now.
        """
        first_at = _first_place(group, events)
        if first_at < self.since:
            return False
        later = [step for step in self.steps if step.last_at > first_at]
        mine = [event for event in events[first_at:] if event.group == group]
        uids = {event.uid for event in mine if event.uid is not None}
        about_nuclei = all(KINDS[e.kind].about == "nucleus" for e in mine)
        return not later or (about_nuclei and _is_apart_from(uids, marks, later))


class Recorder:
    """Makes the trail while events are applied to a fold."""

    def __init__(self, trail: Trail) -> None:
        self._steps = list(trail.steps)
        self._since = trail.since
        self._is_ours = False
        """Whether the last step is of our making, and may grow."""

    def note(self, fold: Fold, event: Event, at: int) -> None:
        """Keep what an event, the journal's number `at` from 0, is about to replace."""
        last = self._steps[-1] if self._steps else None
        if last is not None and last.group != event.group:
            last = None
        renames = fold.renames.after(event) is not fold.renames
        # What a search does depends on all that went before; a new name may be every nucleus'.
        if KINDS[event.kind].reach == "everything" or (
            last and (renames or last.renames is not None)
        ):
            self._steps.clear()
            self._since = at + 1
            return
        if renames:
            before = fold.nuclei.finished()
            named = (fold.renames, before, fold.bases)
            self._steps.append(Step(event.group, at, {}, fold.marks, *named))
        elif last is None:
            self._steps.append(Step(event.group, at, {}, fold.marks))
        else:
            nuclei = last.nuclei if self._is_ours else dict(last.nuclei)
            self._steps[-1] = Step(last.group, at, nuclei, last.marks)
        self._is_ours = True
        uid = event.uid
        if uid is not None:
            was = (fold.nuclei.get(uid), fold.deleted.get(uid))
            self._steps[-1].nuclei.setdefault(uid, was)

    def trail(self) -> Trail:
        """What was noted; nothing may be noted afterwards."""
        surplus = self._steps[:-LONGEST]
        since = surplus[-1].last_at + 1 if surplus else self._since
        return Trail(tuple(self._steps[-LONGEST:]), since)


def _first_place(group: UUID, events: Sequence[Event]) -> int:
    """Where in the journal a gesture begins."""
    return next(i for i, event in enumerate(events) if event.is_edit and event.group == group)


def _is_apart_from(uids: Iterable[UUID], marks: Marks, later: Sequence[Step]) -> bool:
    """Whether a gesture about these nuclei and what came later do not depend on each other.

    An acceptance depends on every nucleus, and so does a new name.
    """
    mine = set(uids)
    return all(step.marks == marks and not step.may_hold_any(mine) for step in later)
