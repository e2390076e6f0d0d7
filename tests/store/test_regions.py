"""Regions of an image: drawn, changed and deleted by events, and what they do to a search."""

from __future__ import annotations

from uuid import uuid4

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.area import Area
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.review.history import History
from napari_nunext.store import FieldState, Project, events
from napari_nunext.store.kinds.regions import regions_of
from tests.store.conftest import IMAGE, WHOLE, predicted
from tests.store.test_state import a_run, by, fold_again, places, used

LEFT, RIGHT = Box(0, 0, 40, 80), Box(50, 0, 100, 80)


def drawn(name="Core", kind="interest", box=LEFT):
    return region(name, kind, rectangle(box), uid=uuid4())


def test_regions_are_drawn_changed_named_deleted_and_taken_back():
    one, two = drawn(), drawn("Ink", "leave_out", RIGHT)
    state = FieldState.fold(
        [], by("jd", events.draw_region(IMAGE, one), events.draw_region(IMAGE, two))
    )
    assert list(regions_of(state).values()) == [one, two]
    larger = rectangle(Box(0, 0, 50, 80))
    state = state.apply(
        *by(
            "jd",
            events.reshape_region(IMAGE, one.uid, larger),
            events.describe_region(IMAGE, one.uid, "Core 1", "search"),
            events.delete_region(IMAGE, two.uid),
        )
    )
    (now,) = regions_of(state).values()
    assert (now.uid, now.name, now.kind, now.box) == (
        one.uid,
        "Core 1",
        "search",
        Box(0, 0, 50, 80),
    )
    assert regions_of(fold_again(state)) == regions_of(state)
    for _ in range(3):
        state = state.apply(*by("jd", events.undo(IMAGE, state.next_undo("jd"))))
    assert list(regions_of(state).values()) == [one, two]
    assert fold_again(state) == state


def test_an_event_about_a_region_that_is_gone_changes_nothing():
    state = FieldState.fold([], by("jd", events.draw_region(IMAGE, drawn())))
    uid = uuid4()
    after = state.apply(
        *by(
            "jd",
            events.reshape_region(IMAGE, uid, rectangle(RIGHT)),
            events.describe_region(IMAGE, uid, "X", "search"),
            events.delete_region(IMAGE, uid),
        )
    )
    assert regions_of(after) == regions_of(state)


def test_a_project_keeps_regions_and_tells_of_them(project, path):
    one = drawn("Tumour bed")
    (event,) = project.append([events.draw_region(IMAGE, one)])
    assert History([(event.kind, IMAGE, event.group)]).undo_words({IMAGE}) == "drew a region"
    project.append([events.describe_region(IMAGE, one.uid, "Invasive front", "search")])
    project.close()
    with Project.open(path, annotator="other") as again:
        (kept,) = regions_of(again.state(IMAGE)).values()
        assert (kept.name, kept.kind, kept.box) == ("Invasive front", "search", one.box)
        (shared,) = regions_of(again.state(IMAGE, ["other"])).values()
        assert shared == kept


def test_a_search_of_regions_leaves_what_was_found_beyond_them():
    first = a_run(predicted(10, 10), predicted(60, 10), predicted(45, 10))
    area = Area((rectangle(LEFT),), (rectangle(Box(0, 40, 40, 80)),))
    second = a_run(
        predicted(12, 20), predicted(12, 60), predicted(70, 10), extra={"area": area.to_json()}
    )
    state = FieldState.fold([first, second], (*used(first), *used(second)))
    assert places(state) == [(12, 20), (45, 10), (60, 10)], "beyond it nothing was searched"
    streamed = FieldState.fold([first], used(first)).with_run(a_run(extra=second.info.extra))
    run_id = next(run_id for run_id in streamed.runs if run_id != first.run_id)
    streamed = streamed.apply(*by("jd", events.use_run(IMAGE, run_id, WHOLE)))
    assert places(streamed.with_predictions(run_id, second.nuclei)) == places(state)


def test_a_search_of_regions_overtakes_what_was_accepted_in_them_alone():
    run = a_run(extra={"area": Area((rectangle(LEFT),)).to_json()})
    accepted = by("jd", events.complete_region(IMAGE, LEFT), events.complete_region(IMAGE, RIGHT))
    state = FieldState.fold([run], (*accepted, *used(run)))
    assert (state.complete, state.changed) == ((RIGHT,), (LEFT,))
