"""Random reviews against a model so simple that it can be seen to be right."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_nunext.core.geometry import Box
from napari_nunext.store import FieldState, Project, events
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info

if TYPE_CHECKING:
    from uuid import UUID

PLACES = st.tuples(st.integers(0, 99), st.integers(0, 79))
CATEGORIES = st.sampled_from(["A", "B"])


class Reference:
    """Every state that was ever left, as plain values, on a stack."""

    def __init__(self) -> None:
        self.past: list[dict] = []
        self.now: dict = {"nuclei": {}, "complete": (), "flagged": False}
        self.future: list[dict] = []

    def edit(self, **changes) -> None:
        self.past.append(self.now)
        self.now = self.now | changes
        self.future.clear()

    def undo(self) -> None:
        self.future.append(self.now)
        self.now = self.past.pop()

    def redo(self) -> None:
        self.past.append(self.now)
        self.now = self.future.pop()


def as_plain(state: FieldState) -> dict:
    return {
        "nuclei": {
            uid: (n.nucleus.x_px, n.nucleus.y_px, n.nucleus.category, n.status)
            for uid, n in state.nuclei.items()
        },
        "complete": state.complete,
        "flagged": state.flagged,
    }


class Review(RuleBasedStateMachine):
    """One person edits, undoes and redoes; the project is closed and opened in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "p.nunext"
        self.project = Project.open(self.path, annotator="jd")
        self.reference = Reference()

    @initialize(places=st.lists(PLACES, max_size=6, unique=True))
    def find(self, places) -> None:
        self.project.add_image(entry())
        run = self.project.start_run(IMAGE, run_info())
        nuclei = [predicted(x, y) for x, y in places]
        self.project.add_predictions(run, nuclei)
        self.project.finish_run(run, "complete")
        self.state = self.project.state(IMAGE)
        self.do(events.use_run(IMAGE, run, WHOLE))
        self.reference.edit(
            nuclei={n.uid: (n.x_px, n.y_px, n.category, "unreviewed") for n in nuclei}
        )

    def do(self, *new) -> None:
        stamped = self.project.stamp(new)
        self.state = self.state.apply(*stamped)
        self.project.append(stamped)

    @property
    def nuclei(self) -> dict[UUID, tuple]:
        return self.reference.now["nuclei"]

    @rule(place=PLACES, category=CATEGORIES)
    def add(self, place, category) -> None:
        event = events.add(IMAGE, *place, category)
        self.do(event)
        new = {event.uid: (*place, category, "unreviewed")}
        self.reference.edit(nuclei=self.nuclei | new)

    @precondition(lambda self: self.nuclei)
    @rule(data=st.data(), place=PLACES)
    def move(self, data, place) -> None:
        uid = data.draw(st.sampled_from(sorted(self.nuclei)))
        self.do(events.move(IMAGE, uid, *place))
        self.reference.edit(nuclei=self.nuclei | {uid: (*place, *self.nuclei[uid][2:])})

    @precondition(lambda self: self.nuclei)
    @rule(data=st.data())
    def delete_several(self, data) -> None:
        gone = data.draw(st.sets(st.sampled_from(sorted(self.nuclei)), min_size=1))
        self.do(*events.grouped(events.delete(IMAGE, uid) for uid in sorted(gone)))
        self.reference.edit(nuclei={u: n for u, n in self.nuclei.items() if u not in gone})

    @precondition(lambda self: self.nuclei)
    @rule(data=st.data(), category=CATEGORIES)
    def relabel_and_judge(self, data, category) -> None:
        uid = data.draw(st.sampled_from(sorted(self.nuclei)))
        judge, status = data.draw(
            st.sampled_from([(events.accept, "accepted"), (events.reject, "rejected")])
        )
        self.do(*events.grouped([events.relabel(IMAGE, uid, category), judge(IMAGE, uid)]))
        x, y, *_ = self.nuclei[uid]
        self.reference.edit(nuclei=self.nuclei | {uid: (x, y, category, status)})

    @rule(side=st.integers(1, 80), flagged=st.booleans())
    def complete(self, side, flagged) -> None:
        box = Box(0, 0, side, side)
        self.do(
            *events.grouped([events.complete_region(IMAGE, box), events.flag_field(IMAGE, flagged)])
        )
        others = tuple(b for b in self.reference.now["complete"] if b.x1 > side)
        self.reference.edit(complete=(*others, box), flagged=flagged)

    @precondition(lambda self: self.reference.past)
    @rule()
    def undo(self) -> None:
        self.do(events.undo(IMAGE, self.state.next_undo("jd")))
        self.reference.undo()

    @precondition(lambda self: self.reference.future)
    @rule()
    def redo(self) -> None:
        self.do(events.redo(IMAGE, self.state.next_redo("jd")))
        self.reference.redo()

    @rule()
    def close_and_open(self) -> None:
        self.project.close()
        self.project = Project.open(self.path, annotator="jd")
        assert self.project.state(IMAGE) == self.state

    @invariant()
    def shows_what_the_reference_shows(self) -> None:
        if not hasattr(self, "state"):
            return
        assert as_plain(self.state) == self.reference.now
        assert self.state.undo_steps("jd") == len(self.reference.past)
        assert self.state.can_redo("jd") == bool(self.reference.future)
        assert FieldState.fold(self.state.runs.values(), self.state.events) == self.state

    def teardown(self) -> None:
        assert self.project.verify() == len(self.project.journal(IMAGE))
        self.project.close()
        self.folder.cleanup()


TestReview = Review.TestCase
TestReview.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
