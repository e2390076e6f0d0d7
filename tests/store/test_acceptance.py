"""What is exported as truth is what a person saw when they accepted it, and edited since."""

from __future__ import annotations

import tempfile
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import Event, FieldState, Project, RunFound, events
from napari_nunext.store.exports.regions import complete_regions
from napari_nunext.store.state.acceptance import truth_in
from napari_nunext.store.state.seen import Seen
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info, ticking

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

LEFT, RIGHT = Box(0, 0, 10, 8), Box(6, 0, 20, 8)
REGIONS = st.sampled_from([WHOLE, LEFT, RIGHT])
# Few places, close together: at 0.5 um/px predictions repeat corrections all the time.
PLACES = st.tuples(st.integers(0, 19), st.integers(0, 7))
MASK = Mask.from_array(np.ones((4, 4), dtype=bool), 4, 2)

Plain = tuple[float, float, str, Mask | None, bool]
"""x, y, category, mask and whether it is rejected."""


def as_plain(state: FieldState) -> dict[UUID, Plain]:
    return {
        uid: (
            n.nucleus.x_px,
            n.nucleus.y_px,
            n.nucleus.category,
            n.nucleus.mask,
            n.status == "rejected",
        )
        for uid, n in state.nuclei.items()
    }


def edited(nuclei: Mapping[UUID, Plain], event: Event) -> dict[UUID, Plain]:
    """The nuclei after one edit, said as plainly as it can be."""
    out, uid, p = dict(nuclei), event.uid, event.payload
    if event.kind == "add" and uid not in out:
        out[uid] = (p["x_px"], p["y_px"], p["category"], event.mask, False)
    if uid not in nuclei:
        return out
    x, y, category, mask, rejected = nuclei[uid]
    match event.kind:
        case "delete":
            del out[uid]
        case "move":
            kept = mask if mask is not None and mask.covers(p["x_px"], p["y_px"]) else None
            out[uid] = (p["x_px"], p["y_px"], category, kept, rejected)
        case "relabel":
            out[uid] = (x, y, p["category"], mask, rejected)
        case "edit_mask":
            out[uid] = (x, y, category, event.mask, rejected)
        case "accept" | "reject":
            out[uid] = (x, y, category, mask, event.kind == "reject")
    return out


@dataclass
class Vouched:
    """What a person saw when they accepted a region, and what they edited since."""

    group: UUID
    who: str
    region: Box
    now: dict[UUID, Plain]
    past: list[tuple[UUID, dict[UUID, Plain]]] = field(default_factory=list)
    disturbed: bool = False
    """Whether anything but this person's edits happened since."""

    def edit(self, gesture: tuple[Event, ...]) -> None:
        self.past.append((gesture[0].group, self.now))
        for event in gesture:
            self.now = edited(self.now, event)

    def undo(self, group: UUID) -> None:
        if self.past and self.past[-1][0] == group:
            _, self.now = self.past.pop()

    def truth(self) -> dict[UUID, Plain]:
        inside = {
            uid: bool(self.region.contains(np.array([n[:2]]))[0]) for uid, n in self.now.items()
        }
        return {uid: n for uid, n in self.now.items() if inside[uid] and not n[4]}


class Desk(RuleBasedStateMachine):
    """Two people at one desk, one after the other, and a model that answers late."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "p.nunext"
        self.clock = ticking()
        self.vouched: list[Vouched] = []
        self.gestures: dict[UUID, tuple[Event, ...]] = {}
        self.streaming = ""
        self.who = "jd"
        self.project = self.open()

    def open(self) -> Project:
        return Project.open(self.path, annotator=self.who, clock=self.clock)

    @initialize()
    def begin(self) -> None:
        self.project.add_image(entry())
        self.state = self.project.state(IMAGE)

    def do(self, *new: Event) -> tuple[Event, ...]:
        stamped = self.project.stamp(new)
        self.state = self.state.apply(*stamped)
        self.project.append(stamped)
        return stamped

    def disturb(self) -> None:
        for vouched in self.vouched:
            vouched.disturbed = True

    # What the model does

    @rule(places=st.lists(PLACES, max_size=3), region=REGIONS)
    def find(self, places, region) -> None:
        self.streaming = self.project.start_run(IMAGE, run_info(region))
        (run,) = (r for r in self.project.predictions(IMAGE) if r.run_id == self.streaming)
        self.state = self.state.with_run(run)
        self.do(events.use_run(IMAGE, self.streaming, region))
        self.stream(places)

    @precondition(lambda self: self.streaming)
    @rule(places=st.lists(PLACES, min_size=1, max_size=3))
    def stream(self, places) -> None:
        nuclei = [predicted(x, y) for x, y in places]
        self.state = self.state.with_predictions(self.streaming, nuclei)
        self.project.add_predictions(self.streaming, nuclei)
        self.disturb()

    @precondition(lambda self: self.streaming and self.state.runs[self.streaming].nuclei)
    @rule(data=st.data(), outline=st.booleans())
    def outline_or_take_back(self, data, outline) -> None:
        run = self.state.runs[self.streaming]
        free = [n.uid for n in run.nuclei if n.mask is None]
        if outline and not free:
            return
        uid = data.draw(st.sampled_from(free if outline else [n.uid for n in run.nuclei]))
        if outline:
            self.state = self.state.with_masks(run.run_id, {uid: MASK})
            self.project.add_found(run.run_id, RunFound(masks={uid: MASK}))
        else:
            self.state = self.state.with_hidden(run.run_id, [uid])
            self.project.add_found(run.run_id, RunFound(hidden=[uid]))
        self.disturb()

    # What people do

    @rule()
    def hand_over(self) -> None:
        """The other person goes on; a search does not outlive the window."""
        self.project.close()
        self.who = "xy" if self.who == "jd" else "jd"
        self.project, self.streaming = self.open(), ""
        reopened = self.project.state(IMAGE)
        assert reopened == self.state
        self.state = reopened

    def edit(self, *new: Event) -> None:
        gesture = events.grouped(new)
        self.gestures[gesture[0].group] = gesture
        self.do(*gesture)
        for vouched in self.vouched:
            if vouched.who == self.who:
                vouched.edit(gesture)
            else:
                vouched.disturbed = True

    @rule(places=st.lists(PLACES, min_size=1, max_size=2))
    def add(self, places) -> None:
        self.edit(*(events.add(IMAGE, x, y, "A") for x, y in places))

    @precondition(lambda self: self.state.nuclei)
    @rule(data=st.data(), place=PLACES)
    def change(self, data, place) -> None:
        uids = list(self.state.nuclei)  # in the order they came: identities are random
        choices = [
            lambda uid: events.move(IMAGE, uid, *place),
            lambda uid: events.delete(IMAGE, uid),
            lambda uid: events.relabel(IMAGE, uid, "B"),
            lambda uid: events.edit_mask(IMAGE, uid, MASK),
            lambda uid: events.reject(IMAGE, uid),
            lambda uid: events.accept(IMAGE, uid),
        ]
        make = data.draw(st.sampled_from(choices))
        chosen = data.draw(st.lists(st.sampled_from(uids), min_size=1, max_size=2, unique=True))
        self.edit(*map(make, chosen))

    @rule(region=REGIONS)
    def accept(self, region) -> None:
        seen = as_plain(self.state)
        (event,) = self.do(events.complete_region(IMAGE, region, self.state.seen_in(region)))
        assert region in self.state.complete
        self.vouched.append(Vouched(event.group, self.who, region, seen))

    @rule(region=REGIONS)
    def look(self, region) -> None:
        """From now on it is kept up what stands there."""
        self.state.seen_in(region)

    @rule(flagged=st.booleans())
    def flag(self, flagged) -> None:
        self.do(events.flag_field(IMAGE, flagged))

    @precondition(lambda self: self.state.can_undo(self.who))
    @rule()
    def undo(self) -> None:
        group = self.state.next_undo(self.who)
        self.do(events.undo(IMAGE, group))
        for vouched in self.vouched:
            if vouched.who == self.who and vouched.group != group:
                vouched.undo(group)
                vouched.disturbed |= group not in self.gestures
            else:
                vouched.disturbed = True

    @precondition(lambda self: self.state.can_redo(self.who))
    @rule()
    def redo(self) -> None:
        group = self.state.next_redo(self.who)
        self.do(events.redo(IMAGE, group))
        for vouched in self.vouched:
            if vouched.who == self.who and group in self.gestures:
                vouched.edit(self.gestures[group])
            else:
                vouched.disturbed = True

    # What must hold

    def vouched_for(self, region: Box) -> Vouched:
        """The acceptance of a region that is in force: a later one replaces an earlier one."""
        return [
            v for v in self.vouched if v.region == region and v.group not in self.state._inactive
        ][-1]

    @invariant()
    def what_is_exported_is_what_was_seen_and_then_edited_by_the_same_person(self) -> None:
        if not hasattr(self, "state"):
            return
        exported = complete_regions(self.project)
        assert {r.crop for r in exported} == set(self.state.truth_regions)
        assert not (exported and self.state.flagged)
        for region in exported:
            truth = {
                n.uid: (n.x_px, n.y_px, n.category, n.mask, False)
                for n in truth_in(region.state.nuclei.values(), region.crop)
            }
            assert truth == self.vouched_for(region.crop).truth()

    @invariant()
    def what_nothing_disturbed_stays_accepted(self) -> None:
        for vouched in self.vouched[-1:]:
            if not vouched.disturbed:
                assert vouched.region in self.state.complete

    @invariant()
    def reading_it_all_again_gives_the_same(self) -> None:
        if hasattr(self, "state"):
            assert FieldState.fold(self.state.runs.values(), self.state.events) == self.state

    @invariant()
    def what_is_kept_up_is_what_is_summed_from_the_beginning(self) -> None:
        if hasattr(self, "state"):
            nuclei = self.state.nuclei.values()
            for region in self.state._tally.regions:
                kept_up = copy(self.state._tally).seen_in(region, self.state.nuclei)
                assert kept_up == Seen.of(nuclei, region)

    def teardown(self) -> None:
        self.project.close()
        self.folder.cleanup()


TestDesk = Desk.TestCase
TestDesk.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
