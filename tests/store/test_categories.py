from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Category, Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.store import FieldState, Run, RunInfo, events
from napari_nunext.store.categories import fold_categories

IMAGE = "ab" * 32
BOX = Box(0, 0, 100, 100)
NOW = datetime(2024, 1, 1, tzinfo=UTC)
NAMES = st.sampled_from(["A", "B", "C"])


def a_run(nuclei: tuple[Nucleus, ...]) -> Run:
    announced = (Category("A", (1, 1, 1)), Category("B", (2, 2, 2)))  # of C it says nothing
    model = ModelDescription("M", "m", kind="detector", id="m", categories=announced)
    info = RunInfo(model, {}, 0.5, 1, BOX)
    return Run(str(uuid4()), IMAGE, info, "running", "ab", NOW, Predictions.of(nuclei))


def predictions(names: list[str], first: int) -> tuple[Nucleus, ...]:
    return tuple(
        Nucleus(UUID(int=first + i), 10.0 + 9 * (first + i), 50.0, name, 0.9)
        for i, name in enumerate(names)
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("add"), NAMES, NAMES),
        st.tuples(st.just("relabel"), NAMES, NAMES),
        st.tuples(st.just("undo"), NAMES, NAMES),
        st.tuples(st.just("redo"), NAMES, NAMES),
        st.tuples(st.just("stream"), NAMES, NAMES),
    ),
    max_size=12,
)


@given(STEPS)
def test_every_change_of_a_category_equals_folding_everything_again(
    steps: list[tuple[str, str, str]],
) -> None:
    run = a_run(predictions(["A", "B", "C"], 0))
    state = FieldState.fold([run], [_by(events.use_run(IMAGE, run.run_id, BOX))])
    count = 3
    for kind, name, other in steps:
        before = len(state.nuclei)
        if kind == "stream":
            state = state.with_predictions(run.run_id, predictions([name], count))
            count += 1
        elif (event := _event(state, kind, name, other)) is not None:
            state = state.apply(_by(event))
            assert len(state.nuclei) == before or kind in ("undo", "redo")
        again = FieldState.fold(state.runs.values(), state.events)
        assert again == state


def _event(state: FieldState, kind: str, name: str, other: str) -> events.Event | None:
    if kind == "rename":
        return None if name == other else events.rename_category(name, other)
    if kind == "add":
        return events.add_category(Category(name, (1, 2, 3)))
    if kind == "relabel":
        uid = next(iter(state.nuclei), None)
        return None if uid is None else events.relabel(IMAGE, uid, name)
    group = state.next_undo("ab") if kind == "undo" else state.next_redo("ab")
    if group is None:
        return None
    about = next(e for e in state.events if e.is_edit and e.group == group)
    make = events.undo if kind == "undo" else events.redo
    return make(about.image_sha256, group)


def _by(event: events.Event) -> events.Event:
    return event.stamped("ab", NOW)


def test_what_a_model_taught_stays_when_a_gesture_before_it_is_undone() -> None:
    base = events.set_categories([Category("A", (1, 1, 1))])
    recolor = events.recolor_category("A", (2, 2, 2))
    learnt = events.learn_categories([Category("A", (9, 9, 9)), Category("B", (3, 3, 3))])
    undo = events.undo(None, recolor.group)
    book = fold_categories([_by(e) for e in (base, recolor, learnt, undo)])
    assert book.categories == (Category("A", (1, 1, 1)), Category("B", (3, 3, 3)))


def test_names_are_followed_through_every_renaming() -> None:
    journal = [
        events.set_categories([Category(n, (i, i, i)) for i, n in enumerate("ABC")]),
        events.rename_category("A", "D"),
        events.rename_category("D", "B"),
    ]
    book = fold_categories([_by(e) for e in journal])
    assert [c.name for c in book.categories] == ["B", "C"]
    assert [book.named(n) for n in "ABCD"] == ["B", "B", "C", "B"]
