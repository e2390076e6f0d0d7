from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.review.correcting import editing
from napari_nunext.store import FieldState, events
from tests.store.conftest import IMAGE

if TYPE_CHECKING:
    import numpy as np


def state_with(*places: tuple[float, float]) -> tuple[FieldState, list[UUID]]:
    added = [events.add(IMAGE, x, y, "Nucleus") for x, y in places]
    return FieldState.fold((), added), [e.uid for e in added if e.uid is not None]


def test_moving_many_is_one_gesture_and_leaves_out_what_did_not_move() -> None:
    state, (a, b) = state_with((10, 10), (20, 20))
    made = editing.moved(state, IMAGE, {a: (11, 12), b: (20, 20), uuid4(): (1, 1)})
    assert [(e.kind, e.uid, e.payload) for e in made] == [("move", a, {"x_px": 11, "y_px": 12})]


def test_deleting_many_shares_one_group() -> None:
    state, uids = state_with((10, 10), (20, 20), (30, 30))
    made = editing.deleted(state, IMAGE, uids)
    assert [e.kind for e in made] == ["delete"] * 3
    assert len({e.group for e in made}) == 1


def test_giving_a_nucleus_the_category_it_has_accepts_it() -> None:
    state, (a, b) = state_with((10, 10), (20, 20))
    state = state.apply(events.relabel(IMAGE, b, "Stromal"))
    made = editing.relabelled(state, IMAGE, [a, b], "Stromal")
    assert {e.uid: e.kind for e in made} == {a: "relabel", b: "accept"}


def predicted_state(*placed: tuple[float, float, float]) -> FieldState:
    """Nuclei of a run, each x, y, confidence."""
    from napari_nunext.store import Run
    from tests.store.conftest import run_info

    run = Run(
        run_id=str(uuid4()),
        image_sha256=IMAGE,
        info=run_info(),
        status="complete",
        annotator="ab",
        started_utc=None,  # type: ignore[arg-type]
        nuclei=Predictions.of(Nucleus(uuid4(), x, y, confidence=sure) for x, y, sure in placed),
    )
    return FieldState.fold([run], [events.use_run(IMAGE, run.run_id, Box(0, 0, 1000, 1000))])


def test_unsure_nuclei_are_visited_in_bands_from_the_top_left_to_right() -> None:
    state = predicted_state(
        (300, 20, 0.1), (10, 40, 0.2), (200, 90, 0.3), (5, 200, 0.1), (7, 5, 0.9)
    )
    order = editing.unsure_in_order(state, 0.45)
    assert [(state.nuclei[u].nucleus.x_px) for u in order] == [10, 300, 200, 5]


def test_the_next_unsure_nucleus_comes_around_the_end() -> None:
    state = predicted_state((10, 10, 0.1), (50, 10, 0.9), (90, 10, 0.2))
    first, last = editing.unsure_in_order(state, 0.45)
    sure = next(u for u, n in state.nuclei.items() if n.nucleus.confidence == 0.9)
    assert editing.neighbour_in_order(state, 0.45, None, 1) == first
    assert editing.neighbour_in_order(state, 0.45, None, -1) == last
    assert editing.neighbour_in_order(state, 0.45, first, 1) == last
    assert editing.neighbour_in_order(state, 0.45, last, 1) == first
    assert editing.neighbour_in_order(state, 0.45, first, -1) == last
    assert editing.neighbour_in_order(state, 0.45, sure, 1) == last
    assert editing.neighbour_in_order(state, 0.05, sure, 1) is None


@pytest.mark.parametrize("kind", ["relabel", "move", "accept"])
def test_what_a_person_touched_is_sure(kind: str) -> None:
    state = predicted_state((10, 10, 0.1))
    (uid,) = state.nuclei
    event = {
        "relabel": events.relabel(IMAGE, uid, "Stromal"),
        "move": events.move(IMAGE, uid, 11, 11),
        "accept": events.accept(IMAGE, uid),
    }[kind]
    assert not editing.is_sure(state.nuclei[uid], 0.45)
    assert editing.is_sure(state.apply(event).nuclei[uid], 0.45)


def test_to_step_from_any_place_is_to_go_along_the_order(rng: np.random.Generator) -> None:
    places = [(*rng.uniform(0, 200, 2).tolist(), float(rng.random())) for _ in range(60)]
    state = predicted_state(*places)
    order = editing.unsure_in_order(state, 0.5)
    for i, uid in enumerate(order):
        assert editing.neighbour_in_order(state, 0.5, uid, 1) == order[(i + 1) % len(order)]
        assert editing.neighbour_in_order(state, 0.5, uid, -1) == order[i - 1]
    state = state.apply(*(events.accept(IMAGE, uid) for uid in order[1::2]))
    for i, uid in enumerate(order[1::2]):
        assert editing.neighbour_in_order(state, 0.5, uid, -1) == order[2 * i]
