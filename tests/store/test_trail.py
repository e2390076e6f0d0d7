"""Undo and redo without folding again are what folding again gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.naming import only_in_decoding
from napari_nunext.core.nuclei import Category
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import FieldState, Run, events
from tests.store.conftest import IMAGE, WHOLE, predicted, run_info

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2024, 1, 1, tzinfo=UTC)
STEPS = 150


class Walk:
    """Two people, new names and a stream of predictions, at random, on one image."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.state = FieldState.fold()
        self.groups: list[UUID] = []
        self.run_id = ""
        self.search()

    def step(self) -> None:
        acts: dict[Callable[[], None], float] = {
            self.edit: 0.3,
            self.name: 0.05,
            self.undo: 0.25,
            self.redo: 0.15,
            self.join: 0.07,
            self.stream: 0.1,
            self.mark: 0.06,
            self.search: 0.02,
        }
        chosen = self.rng.choice(len(acts), p=list(acts.values()))
        list(acts)[chosen]()

    def commit(self, who: str, new: tuple[events.Event, ...]) -> None:
        self.state = self.state.apply(*(event.stamped(who, NOW) for event in new))

    def anyone(self) -> str:
        return str(self.rng.choice(["jd", "xy"]))

    def some_uid(self) -> UUID:
        known = [*self.state.nuclei, *self.state.deleted, uuid4()]
        return known[int(self.rng.integers(len(known)))]

    def placed_before(self) -> UUID:
        placed = [e.uid for e in self.state.events if e.kind == "add" and e.uid is not None]
        return placed[int(self.rng.integers(len(placed)))] if placed else uuid4()

    def place(self) -> tuple[int, int]:
        return int(self.rng.integers(100)), int(self.rng.integers(80))

    def an_edit(self) -> events.Event:
        uid, (x, y) = self.some_uid(), self.place()
        edits: list[Callable[[], events.Event]] = [
            lambda: events.add(IMAGE, x, y, "A"),
            lambda: events.add(IMAGE, x, y, "A", uid=self.placed_before()),
            lambda: events.move(IMAGE, uid, x, y),
            lambda: events.relabel(IMAGE, uid, "B"),
            lambda: events.delete(IMAGE, uid),
            lambda: events.reject(IMAGE, uid),
            lambda: events.edit_mask(IMAGE, uid, Mask.from_array(np.ones((2, 2), bool), x, y)),
            lambda: events.comment(IMAGE, "odd", uid),
        ]
        return edits[int(self.rng.integers(len(edits)))]()

    def edit(self) -> None:
        gesture = events.grouped(self.an_edit() for _ in range(self.rng.integers(1, 4)))
        self.groups.append(gesture[0].group)
        self.commit(self.anyone(), gesture)

    def join(self) -> None:
        if self.groups:
            group = self.groups[
                int(self.rng.integers(max(len(self.groups) - 4, 0), len(self.groups)))
            ]
            self.commit(self.anyone(), events.grouped([self.an_edit()], group))

    def mark(self) -> None:
        side = int(self.rng.integers(1, 80))
        box = Box(0, 0, side, side)
        marks = [
            events.complete_region(IMAGE, box, self.state.seen_in(box)),
            events.reopen_region(IMAGE, box),
            events.flag_field(IMAGE, bool(side % 2)),
            events.comment(IMAGE, "all odd"),
        ]
        self.commit(self.anyone(), (marks[int(self.rng.integers(len(marks)))],))

    def name(self) -> None:
        one, other = self.rng.permutation(["A", "B", "C"]).tolist()[:2]
        color = (1, 2, 3)
        acts = [
            events.rename_category(one, other),
            events.recolor_category(one, color),
            events.add_category(Category(one, color)),
        ]
        self.commit(self.anyone(), (acts[int(self.rng.integers(len(acts)))],))

    def undo(self) -> None:
        who = self.anyone()
        group = self.state.next_undo(who)
        if group is not None:
            self.commit(who, (events.undo(IMAGE, group),))

    def redo(self) -> None:
        who = self.anyone()
        group = self.state.next_redo(who)
        if group is not None:
            self.commit(who, (events.redo(IMAGE, group),))

    def search(self) -> None:
        only = ("A",) if self.rng.random() < 0.3 else ()
        info = run_info(decoding=only_in_decoding(only, asked=True))
        run = Run(str(uuid4()), IMAGE, info, "running", "jd", NOW)
        self.run_id = run.run_id
        self.state = self.state.with_run(run)
        self.commit("jd", (events.use_run(IMAGE, run.run_id, WHOLE),))

    def stream(self) -> None:
        known = [n.uid for n in self.state.runs[self.run_id].nuclei]
        kind = self.rng.integers(3)
        some = [uid for uid in known if self.rng.random() < 0.2]
        if kind == 0 or not some:
            new = [predicted(*self.place()) for _ in range(4)]
            self.state = self.state.with_predictions(self.run_id, new)
        elif kind == 1:
            self.state = self.state.with_hidden(self.run_id, some)
        else:
            mask = Mask.from_array(np.ones((3, 3), bool))
            self.state = self.state.with_masks(self.run_id, dict.fromkeys(some, mask))


@pytest.mark.parametrize("seed", range(12))
def test_any_walk_of_edits_undos_redos_and_streams_is_what_folding_again_gives(seed: int) -> None:
    walk = Walk(np.random.default_rng(seed))
    for _ in range(STEPS):
        walk.step()
        again = FieldState.fold(walk.state.runs.values(), walk.state.events)
        assert walk.state == again
        assert walk.state._renames == again._renames
        assert [b.names for b in walk.state.bases] == [b.names for b in again.bases]
        assert [b.only for b in walk.state.bases] == [b.only for b in again.bases]


def refuse(*args: Any) -> FieldState:
    raise AssertionError("everything was folded again")


def test_to_undo_and_redo_costs_what_was_changed_and_not_the_whole_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nuclei = [predicted(i, i) for i in range(20)]
    run = Run(str(uuid4()), IMAGE, run_info(), "complete", "jd", NOW, Predictions.of(nuclei))
    used = events.use_run(IMAGE, run.run_id, WHOLE).stamped("jd", NOW)
    first = FieldState.fold([run], [used])
    monkeypatch.setattr(FieldState, "fold", refuse)
    gestures: list[tuple[events.Event, ...]] = [
        (added := events.add(IMAGE, 1, 2, "A"),),
        (events.move(IMAGE, nuclei[0].uid, 5, 5),),
        (events.rename_category(nuclei[0].category, "B"),),
        (events.recolor_category("B", (1, 2, 3)),),
        events.grouped([events.delete(IMAGE, n.uid) for n in nuclei[:10]]),
        (events.complete_region(IMAGE, WHOLE),),
        (events.comment(IMAGE, "well", added.uid),),
    ]
    states = [first]
    for gesture in gestures:
        states.append(states[-1].apply(*(e.stamped("jd", NOW) for e in gesture)))
    state = states[-1]
    for before in reversed(states[:-1]):
        state = state.apply(events.undo(IMAGE, state.next_undo("jd")).stamped("jd", NOW))
        assert state.nuclei == before.nuclei
        assert state.acceptances == before.acceptances
    for after in states[1:]:
        state = state.apply(events.redo(IMAGE, state.next_redo("jd")).stamped("jd", NOW))
        assert state.nuclei == after.nuclei
        assert state.acceptances == after.acceptances
    assert state == states[-1]


def test_an_outline_that_comes_after_the_next_gesture_keeps_undo_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = events.add(IMAGE, 1, 1, "A"), events.add(IMAGE, 9, 9, "A")
    outline = events.edit_mask(IMAGE, one.uid, Mask.from_array(np.ones((2, 2), bool)))
    state = FieldState.fold()
    monkeypatch.setattr(FieldState, "fold", refuse)
    for event in (one, other, *events.grouped([outline], one.group)):
        state = state.apply(event.stamped("jd", NOW))
    for left in ([one.uid], []):
        state = state.apply(events.undo(IMAGE, state.next_undo("jd")).stamped("jd", NOW))
        assert list(state.nuclei) == left
