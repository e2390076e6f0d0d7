"""The current state of an image: predictions with the events of people folded over them.

Pure: the same runs and events always give the same state. What an event means:

- An event about a nucleus that is not there changes nothing.
- `use_run` makes a run's predictions the base within a region. Untouched predictions there vanish;
  a nucleus that a person touched in any way stays. A new prediction is suppressed within
  `REPEAT_RADIUS_UM` of a touched nucleus, of the place where the model had put a nucleus that a
  person moved, or of a person's deletion: a re-run neither destroys corrections nor repeats what
  they corrected. A deletion beside an untouched nucleus took a duplicate away, and suppresses
  nothing.
- A prediction that the server took back at a seam is not shown, unless a person touched it first.
- A person's gestures (groups) form one line: `undo` takes the last one out of the fold, `redo`
  brings it back to its old place, and a new edit forgets what was undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.spatial import cKDTree

from napari_nunext.core.nuclei import Nucleus, points_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.masks import Mask
    from napari_nunext.store.entries import Run
    from napari_nunext.store.events import Event

REPEAT_RADIUS_UM = 2.0
"""A prediction this close to a correction says again what was corrected. Less than the radius of a
lymphocyte, so that a neighbour is not taken for a repetition."""

Status: TypeAlias = Literal["unreviewed", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class ReviewedNucleus:
    """A nucleus as it stands after review."""

    nucleus: Nucleus
    run_id: str | None = None
    """The run that predicted it; None where a person placed it."""
    touched: bool = False
    """Whether any event of a person is about it."""
    status: Status = "unreviewed"
    flagged: bool = False
    annotator: str | None = None
    """Who touched it last."""
    predicted_xy: tuple[float, float] | None = None
    """Where the model put it, level-0 px; None where a person placed it."""

    @property
    def uid(self) -> UUID:
        """Its identity."""
        return self.nucleus.uid

    @property
    def is_human(self) -> bool:
        """Whether a person placed it."""
        return self.run_id is None


@dataclass(frozen=True, slots=True)
class Comment:
    """What someone said of the field, or of one nucleus."""

    text: str
    annotator: str | None
    at_utc: datetime | None
    uid: UUID | None


@dataclass(frozen=True, slots=True)
class History:
    """One person's gestures: what undo and redo reach next is last."""

    done: tuple[UUID, ...] = ()
    undone: tuple[UUID, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Base:
    """A `use_run` that is in force."""

    run_id: str
    region: Box
    radius_px: float
    blockers: cKDTree | None
    """Corrections that suppress predictions near them; None where there are none."""

    def admits(self, nuclei: Sequence[Nucleus]) -> NDArray[np.bool_]:
        """Which predictions lie in the region and repeat no correction, shape (N,)."""
        points_xy = points_of(nuclei)
        admitted = self.region.contains(points_xy)
        if self.blockers is not None and len(nuclei):
            distance_px, _ = self.blockers.query(points_xy)
            admitted &= distance_px > self.radius_px
        return admitted


@dataclass(frozen=True, slots=True)
class FieldState:
    """The current state of one image. Immutable: every change gives a new state.

    Two states are equal when they show the same thing and undo the same gestures.
    """

    nuclei: dict[UUID, ReviewedNucleus]
    """What stands, rejected nuclei included, by uid. Treated as immutable."""
    complete: tuple[Box, ...]
    """Regions where every nucleus is marked, in the order they were completed."""
    flagged: bool
    comments: tuple[Comment, ...]
    deleted: dict[UUID, tuple[float, float]]
    """Where the nuclei lay that people deleted, level-0 px."""
    histories: dict[str | None, History]
    bases: tuple[Base, ...] = field(compare=False)
    """Each `use_run` in force, oldest first: a later one prevails where they overlap."""
    runs: dict[str, Run] = field(compare=False, repr=False)
    events: tuple[Event, ...] = field(compare=False, repr=False)
    _inactive: frozenset[UUID] = field(compare=False, repr=False)
    """Groups that were undone."""

    @classmethod
    def fold(cls, runs: Iterable[Run] = (), events: Iterable[Event] = ()) -> FieldState:
        """Fold `events`, in the order of the journal, over the predictions of `runs`."""
        by_id = {run.run_id: run for run in runs}
        all_events = tuple(events)
        histories, inactive = _histories(all_events, {}, frozenset())
        active = [e for e in all_events if e.is_edit and e.group not in inactive]
        fold = _Fold(by_id, named=frozenset(e.uid for e in active if e.uid is not None))
        for event in active:
            fold.apply(event)
        return fold.state(histories, all_events, inactive)

    def apply(self, *events: Event) -> FieldState:
        """The state after `events`, equal to folding everything again.

        An edit costs a copy of a dictionary; undo, redo, `use_run` and an event about a hidden
        prediction fold again.
        """
        all_events = (*self.events, *events)
        if any(self._needs_refold(event) for event in events):
            return FieldState.fold(self.runs.values(), all_events)
        histories, inactive = _histories(events, self.histories, self._inactive)
        fold = _Fold.of(self)
        for event in events:
            if event.is_edit and event.group not in inactive:
                fold.apply(event)
        return fold.state(histories, all_events, inactive)

    def _needs_refold(self, event: Event) -> bool:
        return event.kind in ("undo", "redo", "use_run") or (
            event.uid is not None and any(event.uid in run.hidden for run in self.runs.values())
        )

    # A run while it streams

    def with_run(self, run: Run) -> FieldState:
        """The state that knows `run`; nothing of it shows before a `use_run`."""
        return FieldState.fold((*self.runs.values(), run), self.events)

    def with_predictions(self, run_id: str, nuclei: Sequence[Nucleus]) -> FieldState:
        """The state with further predictions of a run, equal to folding everything again."""
        run = self.runs[run_id]
        runs = {**self.runs, run_id: replace(run, nuclei=(*run.nuclei, *nuclei))}
        uses = [base for base in self.bases if base.run_id == run_id]
        if not uses:
            return replace(self, runs=runs)
        if uses != [self.bases[-1]] or any(n.uid in run.hidden for n in nuclei):
            return FieldState.fold(runs.values(), self.events)
        admitted = uses[0].admits(nuclei)
        new = {n.uid: _predicted(run_id, n) for n, ok in zip(nuclei, admitted, strict=True) if ok}
        return replace(self, runs=runs, nuclei={**self.nuclei, **new})

    def with_hidden(self, run_id: str, uids: Collection[UUID]) -> FieldState:
        """The state after the server took predictions back; touched nuclei stay."""
        run = self.runs[run_id]
        hidden = run.hidden | frozenset(uids)
        runs = {**self.runs, run_id: replace(run, hidden=hidden)}
        if self.bases and self.bases[-1].run_id != run_id:
            return FieldState.fold(runs.values(), self.events)
        gone = {uid for uid in uids if uid in self.nuclei and not self.nuclei[uid].touched}
        kept = {uid: n for uid, n in self.nuclei.items() if uid not in gone}
        return replace(self, runs=runs, nuclei=kept)

    def with_masks(self, run_id: str, masks: Mapping[UUID, Mask]) -> FieldState:
        """The state with masks for predictions of a run, equal to folding everything again."""
        run = self.runs[run_id]
        nuclei = tuple(replace(n, mask=masks[n.uid]) if n.uid in masks else n for n in run.nuclei)
        runs = {**self.runs, run_id: replace(run, nuclei=nuclei)}
        shown = [self.nuclei[uid] for uid in masks if uid in self.nuclei]
        if any(n.touched for n in shown):
            return FieldState.fold(runs.values(), self.events)
        new = {n.uid: replace(n, nucleus=replace(n.nucleus, mask=masks[n.uid])) for n in shown}
        return replace(self, runs=runs, nuclei={**self.nuclei, **new})

    # History

    def can_undo(self, annotator: str) -> bool:
        """Whether this person has a gesture to take back."""
        return bool(self._history(annotator).done)

    def can_redo(self, annotator: str) -> bool:
        """Whether this person has an undone gesture to bring again."""
        return bool(self._history(annotator).undone)

    def undo_steps(self, annotator: str) -> int:
        """How many gestures this person can take back."""
        return len(self._history(annotator).done)

    def next_undo(self, annotator: str) -> UUID | None:
        """The group that this person's undo names next; None where there is none."""
        done = self._history(annotator).done
        return done[-1] if done else None

    def next_redo(self, annotator: str) -> UUID | None:
        """The group that this person's redo names next; None where there is none."""
        undone = self._history(annotator).undone
        return undone[-1] if undone else None

    def _history(self, annotator: str) -> History:
        return self.histories.get(annotator, History())


def events_of(events: Iterable[Event], annotators: Collection[str] | None) -> tuple[Event, ...]:
    """The events that make up the state of the chosen annotators; None chooses all.

    Which run is the base is nobody's opinion: `use_run`, and its undo and redo, always count.
    """
    events = tuple(events)
    if annotators is None:
        return events
    shared = {e.group for e in events if e.kind == "use_run"}
    return tuple(
        e
        for e in events
        if e.annotator in annotators
        or e.kind == "use_run"
        or (e.kind in ("undo", "redo") and e.target in shared)
    )


def _histories(
    events: Iterable[Event], start: dict[str | None, History], inactive: frozenset[UUID]
) -> tuple[dict[str | None, History], frozenset[UUID]]:
    """Everyone's gestures after `events`, and which groups no longer count."""
    # Dictionaries serve as ordered sets: a group stands once, however many events it has.
    done = {who: dict.fromkeys(history.done) for who, history in start.items()}
    undone = {who: dict.fromkeys(history.undone) for who, history in start.items()}
    out = set(inactive)
    for event in events:
        mine = done.setdefault(event.annotator, {})
        back = undone.setdefault(event.annotator, {})
        if event.is_edit and event.group not in out:
            back.clear()
            mine[event.group] = None
        elif event.kind == "undo" and _last(mine) == event.target:
            back[event.target] = mine.pop(event.target)
            out.add(event.target)
        elif event.kind == "redo" and _last(back) == event.target:
            mine[event.target] = back.pop(event.target)
            out.discard(event.target)
    histories = {
        who: History(tuple(done[who]), tuple(undone[who]))
        for who in done
        if done[who] or undone[who]
    }
    return histories, frozenset(out)


def _last(groups: dict[UUID, None]) -> UUID | None:
    return next(reversed(groups), None)


def _predicted(run_id: str, nucleus: Nucleus) -> ReviewedNucleus:
    return ReviewedNucleus(nucleus, run_id, predicted_xy=(nucleus.x_px, nucleus.y_px))


def _lies_on(mask: Mask, x_px: float, y_px: float) -> bool:
    column, row = int(np.floor(x_px)) - mask.x0_px, int(np.floor(y_px)) - mask.y0_px
    inside = 0 <= row < mask.height_px and 0 <= column < mask.width_px
    return inside and bool(mask.to_array()[row, column])


class _Fold:
    """The work of folding: what `FieldState` freezes."""

    def __init__(self, runs: dict[str, Run], named: frozenset[UUID] = frozenset()) -> None:
        self.runs = runs
        self.named = named
        """Nuclei that an active event is about: a seam no longer hides them."""
        self.nuclei: dict[UUID, ReviewedNucleus] = {}
        self.deleted: dict[UUID, tuple[float, float]] = {}
        self.bases: tuple[Base, ...] = ()
        self.complete: tuple[Box, ...] = ()
        self.flagged = False
        self.comments: tuple[Comment, ...] = ()

    @classmethod
    def of(cls, state: FieldState) -> _Fold:
        """A fold that goes on from `state`."""
        fold = cls(state.runs)
        fold.nuclei = dict(state.nuclei)
        fold.deleted = dict(state.deleted)
        fold.bases = state.bases
        fold.complete = state.complete
        fold.flagged = state.flagged
        fold.comments = state.comments
        return fold

    def state(
        self,
        histories: dict[str | None, History],
        events: tuple[Event, ...],
        inactive: frozenset[UUID],
    ) -> FieldState:
        return FieldState(
            nuclei=self.nuclei,
            complete=self.complete,
            flagged=self.flagged,
            comments=self.comments,
            deleted=self.deleted,
            histories=histories,
            bases=self.bases,
            runs=self.runs,
            events=events,
            _inactive=inactive,
        )

    def apply(self, event: Event) -> None:
        _HANDLERS[event.kind](self, event)

    # One nucleus

    def add(self, event: Event) -> None:
        if event.uid is None or event.uid in self.nuclei:
            return
        p = event.payload
        nucleus = Nucleus(
            event.uid, float(p["x_px"]), float(p["y_px"]), p["category"], mask=event.mask
        )
        self.deleted.pop(event.uid, None)
        self.nuclei[event.uid] = ReviewedNucleus(nucleus, touched=True, annotator=event.annotator)

    def delete(self, event: Event) -> None:
        gone = None if event.uid is None else self.nuclei.pop(event.uid, None)
        if gone is not None:
            self.deleted[gone.uid] = gone.predicted_xy or (gone.nucleus.x_px, gone.nucleus.y_px)

    def edit(self, event: Event) -> None:
        old = None if event.uid is None else self.nuclei.get(event.uid)
        if old is None:
            return
        # Built outright: `dataclasses.replace` would double the time of a refold.
        n, p, status, flagged = old.nucleus, event.payload, old.status, old.flagged
        match event.kind:
            case "move":
                x_px, y_px, mask = float(p["x_px"]), float(p["y_px"]), n.mask
                if mask is not None and not _lies_on(mask, x_px, y_px):
                    mask = None  # it outlines what the point has left
                n = Nucleus(n.uid, x_px, y_px, n.category, n.confidence, mask)
            case "relabel":
                n = replace(n, category=p["category"])
            case "edit_mask":
                n = replace(n, mask=event.mask)
            case "accept":
                status = "accepted"
            case "reject":
                status = "rejected"
            case "flag_nucleus":
                flagged = p["flagged"]
        self.nuclei[n.uid] = ReviewedNucleus(
            n, old.run_id, True, status, flagged, event.annotator, old.predicted_xy
        )

    # The field

    def comment(self, event: Event) -> None:
        said = Comment(event.payload["text"], event.annotator, event.at_utc, event.uid)
        self.comments = (*self.comments, said)
        self.edit(event)  # a nucleus that someone spoke of is touched

    def use_run(self, event: Event) -> None:
        run = self.runs.get(event.payload["run_id"])
        if run is None:
            return
        radius_px = REPEAT_RADIUS_UM / run.info.mpp
        base = Base(run.run_id, event.region, radius_px, self._blockers(radius_px))
        untouched = [n.nucleus for n in self.nuclei.values() if not n.touched]
        inside = event.region.contains(points_of(untouched))
        for nucleus, is_inside in zip(untouched, inside, strict=True):
            if is_inside:
                del self.nuclei[nucleus.uid]
        absent = (run.hidden - self.named) | self.nuclei.keys() | self.deleted.keys()
        for nucleus, admitted in zip(run.nuclei, base.admits(run.nuclei).tolist(), strict=True):
            if admitted and nucleus.uid not in absent:
                self.nuclei[nucleus.uid] = _predicted(run.run_id, nucleus)
        self.bases = (*self.bases, base)

    def _blockers(self, radius_px: float) -> cKDTree | None:
        corrections: list[tuple[float, float]] = []
        for n in self.nuclei.values():
            if n.touched:
                here = (n.nucleus.x_px, n.nucleus.y_px)
                corrections.append(here)
                if n.predicted_xy is not None and n.predicted_xy != here:
                    corrections.append(n.predicted_xy)
        untouched_xy = points_of([n.nucleus for n in self.nuclei.values() if not n.touched])
        corrections += self._lasting_deletions(untouched_xy, radius_px)
        return cKDTree(corrections) if corrections else None

    def _lasting_deletions(
        self, untouched_xy: PointsXY, radius_px: float
    ) -> list[tuple[float, float]]:
        """Deletions other than those of a duplicate, whose twin still stands untouched."""
        deletions = list(self.deleted.values())
        if not deletions or len(untouched_xy) == 0:
            return deletions
        distance_px, _ = cKDTree(untouched_xy).query(deletions)
        return [xy for xy, d in zip(deletions, distance_px, strict=True) if d > radius_px]

    def complete_region(self, event: Event) -> None:
        new = event.region
        kept = tuple(box for box in self.complete if box.clipped_to(new) != box)
        self.complete = (*kept, new)

    def reopen_region(self, event: Event) -> None:
        self.complete = tuple(
            box for box in self.complete if not _has_area(box.clipped_to(event.region))
        )

    def flag_field(self, event: Event) -> None:
        self.flagged = event.payload["flagged"]


def _has_area(box: Box) -> bool:
    return box.width > 0 and box.height > 0


_HANDLERS: dict[str, Callable[[_Fold, Event], None]] = {
    "add": _Fold.add,
    "delete": _Fold.delete,
    "move": _Fold.edit,
    "relabel": _Fold.edit,
    "accept": _Fold.edit,
    "reject": _Fold.edit,
    "flag_nucleus": _Fold.edit,
    "edit_mask": _Fold.edit,
    "comment": _Fold.comment,
    "use_run": _Fold.use_run,
    "complete_region": _Fold.complete_region,
    "reopen_region": _Fold.reopen_region,
    "flag_field": _Fold.flag_field,
}
