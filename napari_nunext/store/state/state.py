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
  brings it back to its old place, and a new edit forgets what was undone. An event that joins an
  older gesture is taken back with it, and forgets nothing.
- A region that was accepted is complete as long as its nuclei are those that the person saw, with
  what the same person edited since. A search over it, another person's edit, what a file said that
  somebody took in, predictions that came late, or an undo of what they had seen makes it changed;
  undoing that makes it whole again.
- A category that was renamed or merged is so in every image: its nuclei take the new name where
  the event stands in the journal, and so do predictions of that name that come later.
- A flag asks for a second look: nothing of a flagged image is truth until the flag is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.predictions import Predictions
from napari_nunext.core.uids import as_uids, as_uuids
from napari_nunext.store.event import KINDS
from napari_nunext.store.gestures import History, histories_after
from napari_nunext.store.state.acceptance import Acceptance, may_depend_on
from napari_nunext.store.state.folding import Base, Comment, Fold, Marks
from napari_nunext.store.state.seen import Tally
from napari_nunext.store.state.trail import Recorder, Trail

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.entries import Run, RunStatus
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.nucleus_map import Draft, NucleusMap
    from napari_nunext.store.state.renames import Renames


@dataclass(frozen=True, slots=True)
class FieldState:
    """The current state of one image. Immutable: every change gives a new state.

    Two states are equal when they show the same thing and undo the same gestures.
    """

    nuclei: NucleusMap
    """What stands, rejected nuclei included, by uid."""
    acceptances: tuple[Acceptance, ...]
    """What people accepted, in the order they did."""
    flagged: bool
    comments: tuple[Comment, ...]
    said: dict[str, Any]
    """Marks of further kinds, by the name that their fold gives them. Treated as immutable."""
    deleted: dict[UUID, tuple[float, float]]
    """Where the nuclei lay that people deleted, level-0 px."""
    histories: dict[str | None, History]
    bases: tuple[Base, ...] = field(compare=False)
    """Each `use_run` in force, oldest first: a later one prevails where they overlap."""
    runs: dict[str, Run] = field(compare=False, repr=False)
    events: tuple[Event, ...] = field(compare=False, repr=False)
    _inactive: frozenset[UUID] = field(compare=False, repr=False)
    """Groups that were undone."""
    _renames: Renames = field(compare=False, repr=False)
    """What became of categories' names."""
    _imports: frozenset[UUID] = field(compare=False, repr=False)
    """Gestures in which a file was taken in."""
    _trail: Trail = field(compare=False, repr=False)
    _tally: Tally = field(default_factory=Tally, compare=False, repr=False)
    """What stands in regions that somebody accepted, or asked for; kept up from state to state."""

    @classmethod
    def fold(cls, runs: Iterable[Run] = (), events: Iterable[Event] = ()) -> FieldState:
        """Fold `events`, in the order of the journal, over the predictions of `runs`."""
        by_id = {run.run_id: run for run in runs}
        all_events = tuple(events)
        histories, inactive = histories_after(all_events, {}, frozenset())
        active = [
            (at, e) for at, e in enumerate(all_events) if e.is_edit and e.group not in inactive
        ]
        fold = Fold(by_id, named=frozenset(e.uid for _, e in active if e.uid is not None))
        recorder = Recorder(Trail())
        for at, event in active:
            recorder.note(fold, event, at)
            fold.apply(event)
        return cls._frozen(fold, histories, all_events, inactive, recorder.trail())

    def apply(self, *events: Event) -> FieldState:
        """The state after `events`, equal to folding everything again.

        An edit, and the undo or redo of a gesture that nothing later depends on, cost a copy of
        what people touched; `use_run` and an event about a hidden prediction fold again.
        """
        all_events = (*self.events, *events)
        if len(events) == 1 and events[0].kind in ("undo", "redo"):
            return self._reversed(events[0]) or self._refolded(self.runs, all_events)
        if any(self._needs_refold(event) for event in events):
            return self._refolded(self.runs, all_events)
        histories, inactive = histories_after(events, self.histories, self._inactive)
        fold = self._thawed()
        recorder = Recorder(self._trail)
        for at, event in enumerate(events, start=len(self.events)):
            if event.is_edit and event.group not in inactive:
                recorder.note(fold, event, at)
                fold.apply(event)
        return FieldState._frozen(fold, histories, all_events, inactive, recorder.trail())

    def _refolded(self, runs: dict[str, Run], events: Sequence[Event]) -> FieldState:
        """The state folded from the beginning; what is known to stand in regions is kept up."""
        new = FieldState.fold(runs.values(), events)
        return replace(new, _tally=self._tally) if self._tally.regions else new

    def _needs_refold(self, event: Event) -> bool:
        return KINDS[event.kind].reach == "everything" or (
            event.uid is not None and self._is_hidden(event.uid)
        )

    def _is_hidden(self, uid: UUID) -> bool:
        return any(run.hidden and uid in run.hidden for run in self.runs.values())

    def _reversed(self, event: Event) -> FieldState | None:
        """The state after an undo or a redo; None where everything has to be folded again."""
        histories, inactive = histories_after([event], self.histories, self._inactive)
        all_events = (*self.events, event)
        if inactive == self._inactive:  # not theirs to take back, or not the last
            return replace(self, histories=histories, events=all_events)
        if event.kind == "undo":
            fold = self._fold_without(event.target)
            trail = self._trail.without(event.target)
        else:
            fold, trail = self._fold_with(event.target)
        if fold is None:
            return None
        return FieldState._frozen(fold, histories, all_events, inactive, trail)

    def _fold_without(self, group: UUID) -> Fold | None:
        fold = self._thawed()
        step = self._trail.replaced_by(group, self.events, fold.marks)
        if step is None or any(self._is_hidden(uid) for uid in step.nuclei):
            return None
        fold.marks = step.marks
        if step.renames is not None and step.before is not None:
            fold.renames, fold.nuclei = step.renames, step.before.edited()
            fold.bases = step.bases
        for uid, (nucleus, deleted_xy) in step.nuclei.items():
            fold.nuclei.put(uid, nucleus)
            if deleted_xy is None:
                fold.deleted.pop(uid, None)
            else:
                fold.deleted[uid] = deleted_xy
        return fold

    def _fold_with(self, group: UUID) -> tuple[Fold | None, Trail]:
        fold, recorder = self._thawed(), Recorder(self._trail)
        if not self._trail.leaves_room_for(group, self.events, fold.marks):
            return None, self._trail
        for at, event in enumerate(self.events):
            if event.is_edit and event.group == group:
                if event.uid is not None and self._is_hidden(event.uid):
                    return None, self._trail
                recorder.note(fold, event, at)
                fold.apply(event)
        return fold, recorder.trail()

    @classmethod
    def _frozen(
        cls,
        fold: Fold,
        histories: dict[str | None, History],
        events: tuple[Event, ...],
        inactive: frozenset[UUID],
        trail: Trail,
    ) -> FieldState:
        return cls(
            nuclei=fold.nuclei.finished(),
            acceptances=fold.acceptances,
            flagged=fold.flagged,
            comments=fold.comments,
            said=fold.said,
            deleted=fold.deleted,
            histories=histories,
            bases=fold.bases,
            runs=fold.runs,
            events=events,
            _inactive=inactive,
            _renames=fold.renames,
            _imports=fold.imports,
            _trail=trail,
            _tally=fold.tally,
        )

    def _thawed(self) -> Fold:
        fold = Fold(self.runs)
        fold.nuclei = self.nuclei.edited()
        fold.deleted = dict(self.deleted)
        fold.bases = self.bases
        fold.marks = Marks(self.acceptances, self.flagged, self.comments, self.said)
        fold.renames = self._renames
        fold.imports = self._imports
        fold.tally = self._tally
        return fold

    # What is truth

    @property
    def complete(self) -> tuple[Box, ...]:
        """Regions where every nucleus is marked, in the order they were accepted."""
        return tuple(a.region for a in self.acceptances if not a.changed)

    @property
    def changed(self) -> tuple[Box, ...]:
        """Regions that were accepted and have other nuclei since: to be looked at again."""
        return tuple(a.region for a in self.acceptances if a.changed)

    @property
    def truth_regions(self) -> tuple[Box, ...]:
        """Regions that may be exported and learnt from: the complete ones, unless flagged."""
        return () if self.flagged else self.complete

    def seen_in(self, region: Box) -> dict[str, Any]:
        """What an acceptance of `region` records of the nuclei in it now."""
        return self._tally.seen_in(region, self.nuclei).to_json()

    def in_force(self) -> Iterator[Event]:
        """The edits that were not taken back, in the journal's order."""
        return (e for e in self.events if e.is_edit and e.group not in self._inactive)

    # A run while it streams

    def with_run(self, run: Run) -> FieldState:
        """The state that knows `run`; nothing of it shows before a `use_run`."""
        return self._refolded({**self.runs, run.run_id: run}, self.events)

    def with_predictions(self, run_id: str, nuclei: Iterable[Nucleus]) -> FieldState:
        """The state with further predictions of a run, equal to folding everything again."""
        run, new = self.runs[run_id], Predictions.of(nuclei)
        runs = {**self.runs, run_id: replace(run, nuclei=run.nuclei.joined(new))}
        base = self._latest_use(run_id)
        is_hidden = (new.rows_of(as_uids(run.hidden)) >= 0).any()
        if base is None or base.renames is not self._renames or is_hidden:
            return self._refolded(runs, self.events)
        rows = np.flatnonzero(base.admits(new.points_xy))
        if may_depend_on(self.acceptances, new.points_xy[rows]):
            return self._refolded(runs, self.events)
        now = self.nuclei.edited()
        now.grow(new, rows, run_id, base.names)
        return self._streamed(runs, now, as_uuids(new.uids))

    def with_hidden(self, run_id: str, uids: Collection[UUID]) -> FieldState:
        """The state after the server took predictions back; touched nuclei stay."""
        run = self.runs[run_id]
        runs = {**self.runs, run_id: replace(run, hidden=run.hidden.union(uids))}
        if self._latest_use(run_id) is None or may_depend_on(
            self.acceptances, _places_of(run, uids)
        ):
            return self._refolded(runs, self.events)
        now = self.nuclei.edited()
        named = {event.uid for event in self.in_force()}
        now.hide(as_uids(uid for uid in uids if uid not in named))
        return self._streamed(runs, now, uids)

    def with_back(self, run_id: str, uids: Collection[UUID]) -> FieldState:
        """The state after predictions stand again that the server had taken back; that is rare."""
        run = self.runs[run_id]
        back = replace(run, hidden=run.hidden - frozenset(uids))
        return self._refolded({**self.runs, run_id: back}, self.events)

    def with_masks(self, run_id: str, masks: Mapping[UUID, Mask]) -> FieldState:
        """The state with masks for predictions of a run, equal to folding everything again."""
        run = self.runs[run_id]
        runs = {**self.runs, run_id: replace(run, nuclei=run.nuclei.with_masks(masks))}
        if not masks.keys().isdisjoint(n.uid for n in self.nuclei.touched()) or may_depend_on(
            self.acceptances, _places_of(run, masks)
        ):
            return self._refolded(runs, self.events)
        now = self.nuclei.edited()
        now.outline(masks)
        return self._streamed(runs, now, masks)

    def _streamed(self, runs: dict[str, Run], now: Draft, uids: Collection[UUID]) -> FieldState:
        """The state after a run has said more of the nuclei `uids`."""
        trail = self._trail.beside_stream(uids, len(self.events))
        return replace(self, runs=runs, nuclei=now.finished(), _trail=trail)

    def with_finished(self, run_id: str, status: RunStatus) -> FieldState:
        """The state that knows how a run ended; it shows the same."""
        ended = replace(self.runs[run_id], status=status)
        return replace(self, runs={**self.runs, run_id: ended})

    def _latest_use(self, run_id: str) -> Base | None:
        """The base that a run is, if it is the latest and was used just once.

        Only then does nothing that was decided since depend on what the run says.
        """
        uses = [base for base in self.bases if base.run_id == run_id]
        return uses[0] if len(uses) == 1 and uses[0] is self.bases[-1] else None

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


def _places_of(run: Run, uids: Iterable[UUID]) -> PointsXY:
    """Where those of some nuclei lie that are predictions of a run."""
    rows = run.nuclei.rows_of(as_uids(uids))
    return run.nuclei.points_xy[rows[rows >= 0]]


def events_of(events: Iterable[Event], annotators: Collection[str] | None) -> tuple[Event, ...]:
    """The events that make up the state of the chosen annotators; None chooses all.

    Which run is the base is nobody's opinion, nor what a category is called, and a flag asks
    everybody for a second look: those events, and their undo and redo, always count.
    """
    events = tuple(events)
    if annotators is None:
        return events
    shared = {e.group for e in events if KINDS[e.kind].everybodys}
    return tuple(
        e
        for e in events
        if e.annotator in annotators
        or KINDS[e.kind].everybodys
        or (e.kind in ("undo", "redo") and e.target in shared)
    )


def for_every_image(events: Iterable[Event]) -> tuple[Event, ...]:
    """Of the events about the project as a whole, those that change the state of its images."""
    return tuple(e for e in events if e.is_edit or e.kind in ("undo", "redo"))
