from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import FieldState, Run, events
from napari_nunext.store.state.state import events_of
from tests.store.conftest import IMAGE, WHOLE, predicted, run_info

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def a_run(*nuclei, **more) -> Run:
    return Run(str(uuid4()), IMAGE, run_info(**more), "complete", "jd", NOW, Predictions.of(nuclei))


def by(who, *new):
    return tuple(event.stamped(who, NOW) for event in new)


def used(run, region=WHOLE):
    return by("jd", events.use_run(IMAGE, run.run_id, region))


def places(state):
    return sorted((n.nucleus.x_px, n.nucleus.y_px) for n in state.nuclei.values())


def fold_again(state):
    return FieldState.fold(state.runs.values(), state.events)


def test_predictions_show_once_their_run_is_used():
    run = a_run(predicted(1, 1), predicted(50, 50))
    assert FieldState.fold([run]).nuclei == {}
    state = FieldState.fold([run], used(run, Box(0, 0, 10, 10)))
    assert places(state) == [(1, 1)]
    (n,) = state.nuclei.values()
    assert (n.run_id, n.touched, n.status, n.predicted_xy) == (
        run.run_id,
        False,
        "unreviewed",
        (1, 1),
    )


def test_every_edit_does_what_it_says():
    a, b, c, d = (predicted(10 * i, 5) for i in range(1, 5))
    run = a_run(a, b, c, d)
    added = events.add(IMAGE, 70, 70, "Stroma")
    mask = Mask.from_array(np.ones((3, 3), dtype=bool), 18, 4)
    state = FieldState.fold(
        [run],
        used(run)
        + by(
            "jd",
            added,
            events.move(IMAGE, a.uid, 12, 6),
            events.relabel(IMAGE, b.uid, "Tumour"),
            events.edit_mask(IMAGE, b.uid, mask),
            events.accept(IMAGE, c.uid),
            events.flag_nucleus(IMAGE, c.uid),
            events.delete(IMAGE, d.uid),
            events.reject(IMAGE, added.uid),
            events.comment(IMAGE, "odd", c.uid),
            events.flag_field(IMAGE),
        ),
    )
    n = state.nuclei
    assert d.uid not in n
    assert state.deleted == {d.uid: (40, 5)}
    assert (n[a.uid].nucleus.x_px, n[a.uid].nucleus.y_px, n[a.uid].predicted_xy) == (12, 6, (10, 5))
    assert (n[b.uid].nucleus.category, n[b.uid].nucleus.mask) == ("Tumour", mask)
    assert (n[c.uid].status, n[c.uid].flagged) == ("accepted", True)
    assert (n[added.uid].status, n[added.uid].is_human) == ("rejected", True)
    assert n[added.uid].nucleus.confidence is None
    assert all(n[u].touched and n[u].annotator == "jd" for u in (a.uid, b.uid, c.uid, added.uid))
    assert state.flagged
    assert [(c.text, c.annotator) for c in state.comments] == [("odd", "jd")]


def test_a_mask_follows_its_nucleus_only_while_the_point_lies_on_it():
    mask = Mask.from_array(np.ones((4, 4), dtype=bool), 8, 8)
    n = replace(predicted(10, 10), mask=mask)
    run = a_run(n)
    state = FieldState.fold([run], used(run))
    near = state.apply(*by("jd", events.move(IMAGE, n.uid, 11.9, 8)))
    far = state.apply(*by("jd", events.move(IMAGE, n.uid, 12, 8)))
    assert near.nuclei[n.uid].nucleus.mask == mask
    assert far.nuclei[n.uid].nucleus.mask is None


def test_an_event_about_a_nucleus_that_is_gone_changes_nothing():
    n = predicted(1, 1)
    run = a_run(n)
    state = FieldState.fold([run], used(run) + by("jd", events.delete(IMAGE, n.uid)))
    after = state.apply(*by("jd", events.move(IMAGE, n.uid, 5, 5), events.accept(IMAGE, uuid4())))
    assert after.nuclei == {}
    assert after.deleted == state.deleted


def test_one_undo_takes_back_a_whole_gesture_and_redo_brings_it_again():
    nuclei = [predicted(i, i) for i in range(50)]
    run = a_run(*nuclei)
    before = FieldState.fold([run], used(run))
    lasso = events.grouped(events.delete(IMAGE, n.uid) for n in nuclei)
    state = before.apply(*by("jd", *lasso))
    assert state.nuclei == {}
    assert state.undo_steps("jd") == 2
    undone = state.apply(*by("jd", events.undo(IMAGE, state.next_undo("jd"))))
    assert undone.nuclei == before.nuclei
    assert undone.can_redo("jd")
    again = undone.apply(*by("jd", events.redo(IMAGE, undone.next_redo("jd"))))
    assert again.nuclei == {}
    assert not again.can_redo("jd")


def test_a_new_edit_forgets_what_was_undone():
    added = events.add(IMAGE, 1, 1, "A")
    state = FieldState.fold([], by("jd", added))
    state = state.apply(*by("jd", events.undo(IMAGE, added.group)))
    state = state.apply(*by("jd", events.add(IMAGE, 2, 2, "A")))
    assert not state.can_redo("jd")
    state = state.apply(*by("jd", events.redo(IMAGE, added.group)))
    assert places(state) == [(2, 2)]


def test_what_joins_an_older_gesture_forgets_nothing_and_goes_with_it():
    old = by("jd", events.add(IMAGE, 1, 1, "A"))
    new = by("jd", events.add(IMAGE, 9, 9, "A"))
    state = FieldState.fold([], (*old, *new))
    state = state.apply(*by("jd", events.undo(IMAGE, new[0].group)))
    mask = Mask.from_array(np.ones((2, 2), dtype=bool))
    outline = events.grouped([events.edit_mask(IMAGE, old[0].uid, mask)], old[0].group)
    state = state.apply(*by("jd", *outline))
    assert state == fold_again(state)
    assert state.nuclei[old[0].uid].nucleus.mask == mask
    assert state.undo_steps("jd") == 1
    assert state.next_redo("jd") == new[0].group
    state = state.apply(*by("jd", events.undo(IMAGE, old[0].group)))
    assert state.nuclei == {}


def test_each_annotator_undoes_their_own():
    mine, theirs = events.add(IMAGE, 1, 1, "A"), events.add(IMAGE, 2, 2, "A")
    state = FieldState.fold([], by("jd", mine) + by("xy", theirs))
    assert state.next_undo("jd") == mine.group
    state = state.apply(*by("jd", events.undo(IMAGE, theirs.group)))
    assert len(state.nuclei) == 2  # not theirs to take back
    state = state.apply(*by("jd", events.undo(IMAGE, mine.group)))
    assert places(state) == [(2, 2)]
    assert state.can_undo("xy")
    assert not state.can_undo("jd")


def test_a_new_run_replaces_untouched_predictions_and_keeps_what_people_did():
    kept, moved, deleted, untouched = (predicted(20 * i, 10) for i in range(1, 5))
    old = a_run(kept, moved, deleted, untouched)
    added = events.add(IMAGE, 50, 60, "Stroma")
    state = FieldState.fold(
        [old],
        used(old)
        + by(
            "jd",
            events.accept(IMAGE, kept.uid),
            events.move(IMAGE, moved.uid, 48, 10),
            events.delete(IMAGE, deleted.uid),
            added,
        ),
    )
    # At 0.5 um/px the 2 um of a repetition are 4 px, inclusive.
    repeats = [(20, 14), (48, 7), (40, 12), (60, 10), (53, 60)]
    fresh = [(20, 14.5), (81, 10), (50, 64.5)]
    new = a_run(*(predicted(x, y) for x, y in repeats + fresh))
    state = state.with_run(new).apply(*used(new))
    assert places(state) == sorted([(20, 10), (48, 10), (50, 60), *fresh])
    undone = state.apply(*by("jd", events.undo(IMAGE, state.next_undo("jd"))))
    assert places(undone) == sorted([(20, 10), (48, 10), (80, 10), (50, 60)])


def test_outside_its_region_a_new_run_changes_nothing():
    left, right = predicted(10, 10), predicted(90, 10)
    old, new = a_run(left, right), a_run(predicted(12, 30), predicted(88, 30))
    state = FieldState.fold([old, new], used(old) + used(new, Box(50, 0, 100, 80)))
    assert places(state) == [(10, 10), (88, 30)]


def test_a_duplicate_that_was_deleted_does_not_hide_its_twin_from_the_next_run():
    one, twin = predicted(10, 10), predicted(11, 10)
    old, new = a_run(one, twin), a_run(predicted(10.5, 10))
    state = FieldState.fold([old, new], used(old) + by("jd", events.delete(IMAGE, twin.uid)))
    assert places(state.apply(*used(new))) == [(10.5, 10)]


def test_what_the_server_took_back_is_hidden_unless_a_person_touched_it():
    a, b = predicted(10, 10), predicted(30, 10)
    run = a_run(a, b)
    state = FieldState.fold([run], used(run) + by("jd", events.accept(IMAGE, a.uid)))
    state = state.with_hidden(run.run_id, [a.uid, b.uid])
    assert list(state.nuclei) == [a.uid]
    assert fold_again(state) == state
    undone = state.apply(*by("jd", events.undo(IMAGE, state.next_undo("jd"))))
    assert undone.nuclei == {}
    # The click and the seam's decision may cross on the way.
    late = undone.apply(*by("jd", events.accept(IMAGE, b.uid)))
    assert list(late.nuclei) == [b.uid]
    assert fold_again(late) == late


def test_predictions_and_masks_that_stream_in_equal_those_read_back():
    run = a_run()
    human = events.add(IMAGE, 50, 50, "A")
    state = FieldState.fold([], by("jd", human)).with_run(run).apply(*used(run, Box(0, 0, 60, 80)))
    batch = [predicted(10, 10), predicted(51, 50), predicted(70, 10)]
    state = state.with_predictions(run.run_id, batch)
    assert places(state) == [(10, 10), (50, 50)]
    state = state.apply(*by("jd", events.add(IMAGE, 30, 30, "A")))
    state = state.with_predictions(run.run_id, [late := predicted(31, 30)])
    assert late.uid in state.nuclei  # an edit after the run began does not suppress it
    mask = Mask.from_array(np.ones((2, 2), dtype=bool), 10, 10)
    state = state.with_masks(run.run_id, {batch[0].uid: mask, batch[2].uid: mask})
    assert state.nuclei[batch[0].uid].nucleus.mask == mask
    assert fold_again(state) == state
    moved = state.apply(*by("jd", events.move(IMAGE, late.uid, 32, 30)))
    moved = moved.with_masks(run.run_id, {late.uid: mask})
    assert moved.nuclei[late.uid].nucleus.mask is None
    assert fold_again(moved) == moved


def test_a_run_that_goes_on_after_another_took_over_is_no_longer_shown():
    first, second = a_run(), a_run()
    state = FieldState.fold([first, second], used(first) + used(second))
    state = state.with_predictions(first.run_id, [predicted(10, 10)])
    assert state.nuclei == {}
    assert fold_again(state) == state


def test_completing_a_region_swallows_those_inside_and_reopening_opens_all_it_meets():
    small, large, apart = Box(0, 0, 10, 10), Box(0, 0, 20, 20), Box(50, 50, 60, 60)
    state = FieldState.fold(
        [], by("jd", *(events.complete_region(IMAGE, b) for b in (small, apart, large, large)))
    )
    assert state.complete == (apart, large)
    touching = state.apply(*by("jd", events.reopen_region(IMAGE, Box(20, 0, 50, 80))))
    assert touching.complete == (apart, large)  # a common edge is no common area
    opened = state.apply(*by("jd", events.reopen_region(IMAGE, Box(19, 19, 30, 30))))
    assert opened.complete == (apart,)


def test_the_state_of_one_annotator_rests_on_the_common_base():
    n, m = predicted(10, 10), predicted(30, 10)
    run = a_run(n, m)
    journal = (
        used(run)
        + by("jd", events.delete(IMAGE, n.uid))
        + by("xy", events.relabel(IMAGE, m.uid, "Stroma"))
    )
    theirs = FieldState.fold([run], events_of(journal, {"xy"}))
    assert {n.nucleus.category for n in theirs.nuclei.values()} == {"Nucleus", "Stroma"}
    mine = FieldState.fold([run], events_of(journal, {"jd"}))
    assert list(mine.nuclei) == [m.uid]
    assert events_of(journal, None) == journal


def bytecodes(call) -> int:
    """How many instructions of Python a call takes: the same on any machine."""
    executed = 0

    def trace(frame, event, _):
        nonlocal executed
        frame.f_trace_opcodes = True
        executed += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return executed


@pytest.mark.parametrize("edits", [0, 300])
def test_an_edit_among_five_thousand_nuclei_is_no_more_work_than_among_five_hundred(edits, rng):
    few, many = (work_of_an_edit(number, edits, rng) for number in (500, 5000))
    assert many == pytest.approx(few, rel=0.05)


def work_of_an_edit(number, edits, rng) -> tuple[int, int]:
    """What it takes to accept one of so many nuclei after some edits, and to undo that."""
    nuclei = [predicted(x, y) for x, y in rng.uniform(0, 4000, (number, 2))]
    run = a_run(*nuclei)
    journal = used(run, Box(0, 0, 4000, 4000)) + by(
        "jd", *(events.move(IMAGE, n.uid, 1, 1) for n in nuclei[:edits])
    )
    state = FieldState.fold([run], journal)
    edit = by("jd", events.accept(IMAGE, nuclei[-1].uid))
    after = state.apply(*edit)
    undo = by("jd", events.undo(IMAGE, after.next_undo("jd")))
    return bytecodes(lambda: state.apply(*edit)), bytecodes(lambda: after.apply(*undo))
