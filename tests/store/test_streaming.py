"""Whatever happens while runs stream, the live state is what reading it all again gives."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import FieldState, Run, events
from tests.store.conftest import IMAGE, predicted, run_info

NOW = datetime(2024, 1, 1, tzinfo=UTC)
# Few places, close together: at 0.5 um/px predictions repeat corrections all the time.
PLACES = st.tuples(st.integers(0, 20), st.integers(0, 6))
REGIONS = st.sampled_from([Box(0, 0, 30, 10), Box(0, 0, 10, 10), Box(6, 0, 30, 10)])
WHO = st.sampled_from(["jd", "xy"])


class Streaming(RuleBasedStateMachine):
    """Two people and several runs at once."""

    def __init__(self) -> None:
        super().__init__()
        self.state = FieldState.fold()

    def do(self, who, *new) -> None:
        self.state = self.state.apply(*(event.stamped(who, NOW) for event in new))

    def any_run(self, data) -> str:
        return data.draw(st.sampled_from(list(self.state.runs)))

    def any_prediction(self, data, run_id):
        return data.draw(st.sampled_from(self.state.runs[run_id].nuclei)).uid

    @rule(who=WHO, region=REGIONS, used=st.booleans())
    def start(self, who, region, used) -> None:
        run = Run(str(uuid4()), IMAGE, run_info(), "running", who, NOW)
        self.state = self.state.with_run(run)
        if used:
            self.do(who, events.use_run(IMAGE, run.run_id, region))

    @precondition(lambda self: self.state.runs)
    @rule(data=st.data(), who=WHO, region=REGIONS)
    def use(self, data, who, region) -> None:
        self.do(who, events.use_run(IMAGE, self.any_run(data), region))

    @precondition(lambda self: self.state.runs)
    @rule(data=st.data(), places=st.lists(PLACES, max_size=4))
    def predict(self, data, places) -> None:
        self.state = self.state.with_predictions(
            self.any_run(data), [predicted(x, y) for x, y in places]
        )

    @precondition(lambda self: any(run.nuclei for run in self.state.runs.values()))
    @rule(data=st.data(), outline=st.booleans())
    def hide_or_outline(self, data, outline) -> None:
        run_id = data.draw(st.sampled_from([r for r, v in self.state.runs.items() if v.nuclei]))
        uid = self.any_prediction(data, run_id)
        if outline:
            mask = Mask.from_array(np.ones((3, 3), dtype=bool), 5, 2)
            self.state = self.state.with_masks(run_id, {uid: mask})
        else:
            self.state = self.state.with_hidden(run_id, [uid])

    @precondition(lambda self: any(run.nuclei for run in self.state.runs.values()))
    @rule(data=st.data(), who=WHO, place=PLACES)
    def edit_what_a_run_said(self, data, who, place) -> None:
        """Also what is hidden, deleted or not shown: clicks and news may cross."""
        run_id = data.draw(st.sampled_from([r for r, v in self.state.runs.items() if v.nuclei]))
        uid = self.any_prediction(data, run_id)
        choices = [
            events.move(IMAGE, uid, *place),
            events.delete(IMAGE, uid),
            events.accept(IMAGE, uid),
            events.comment(IMAGE, "hm", uid),
        ]
        self.do(who, data.draw(st.sampled_from(choices)))

    @rule(who=WHO, places=st.lists(PLACES, min_size=1, max_size=2))
    def add(self, who, places) -> None:
        self.do(who, *events.grouped(events.add(IMAGE, x, y, "A") for x, y in places))

    @rule(who=WHO, region=REGIONS, seen=st.booleans())
    def accept(self, who, region, seen) -> None:
        digest = self.state.seen_in(region) if seen else None
        self.do(who, events.complete_region(IMAGE, region, digest))
        assert region in self.state.complete

    @rule(who=WHO, region=REGIONS)
    def reopen(self, who, region) -> None:
        self.do(who, events.reopen_region(IMAGE, region))

    @rule(who=WHO, back=st.booleans())
    def undo_or_redo(self, who, back) -> None:
        group = self.state.next_undo(who) if back else self.state.next_redo(who)
        if group is not None:
            self.do(who, (events.undo if back else events.redo)(IMAGE, group))

    @invariant()
    def reading_it_all_again_gives_the_same(self) -> None:
        assert FieldState.fold(self.state.runs.values(), self.state.events) == self.state

    @invariant()
    def nothing_that_nobody_touched_repeats_a_later_base(self) -> None:
        for n in self.state.nuclei.values():
            assert n.touched == (n.annotator is not None)
            if not n.touched:
                xy = np.array([[n.nucleus.x_px, n.nucleus.y_px]])
                last = [base for base in self.state.bases if base.region.contains(xy)[0]][-1]
                assert last.run_id == n.run_id


def test_a_seam_does_not_hide_what_an_event_named_before_it_was_shown():
    nucleus = predicted(0, 5)
    run = Run(str(uuid4()), IMAGE, run_info(), "running", "jd", NOW)
    state = FieldState.fold().with_run(run).with_predictions(run.run_id, [nucleus])
    state = state.apply(
        events.move(IMAGE, nucleus.uid, 0, 0),  # it is not there yet: nothing moves
        events.use_run(IMAGE, run.run_id, Box(0, 0, 30, 10)),
    )
    state = state.with_hidden(run.run_id, [nucleus.uid])
    assert nucleus.uid in state.nuclei
    assert state == FieldState.fold(state.runs.values(), state.events)


TestStreaming = Streaming.TestCase
TestStreaming.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
