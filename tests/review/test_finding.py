from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.core.formats.geojson import read_geojson
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE, stain_in_decoding
from napari_nunext.review.shown.view import SURE_ABOVE, SURE_CALIBRATED
from napari_nunext.serving import protocol
from napari_nunext.store.exports.formats import export_format
from tests.review.fakes import done, model_info, points, square, started, window_done

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.find import RunStatus
    from tests.review.fakes import FakeServer


OF_DAB = [protocol.CategoryInfo(name=n, color=(9, 9, 9)) for n in (POSITIVE, NEGATIVE)]


def shown(controller: ReviewController) -> set[tuple[float, float]]:
    state = controller.model.state
    assert state is not None
    return {(n.nucleus.x_px, n.nucleus.y_px) for n in state.nuclei.values()}


def stored_runs(controller: ReviewController):
    return controller.session.project.predictions(controller.images.model.open_field.entry.sha256)


def stored_points(controller: ReviewController) -> set[tuple[float, float]]:
    state = controller.session.project.state(controller.images.model.open_field.entry.sha256)
    return {(n.nucleus.x_px, n.nucleus.y_px) for n in state.nuclei.values()}


def test_detectors_are_offered_and_the_default_is_chosen(opened: ReviewController) -> None:
    assert [m.id for m in opened.find.model.models] == ["small", "classical"]
    assert opened.find.model.model_id == "small"
    assert opened.find.model.server.phase == "ready"


def test_a_model_that_cannot_be_served_is_not_chosen(
    controller: ReviewController, server: FakeServer
) -> None:
    server.fake.offered = [
        model_info(problem="nunext.json is missing."),
        model_info(id="classical", default=False),
    ]
    controller.find.connect()
    assert controller.find.model.model_id == "classical"


def test_the_list_gets_the_categories_of_the_images_stain_alone(
    opened: ReviewController, server: FakeServer
) -> None:
    seen = started(categories=[*model_info().categories, *OF_DAB])
    decoding = seen.decoding | stain_in_decoding("H-DAB", [c.name for c in OF_DAB])
    server.fake.script = [seen.model_copy(update={"decoding": decoding}), done(0)]
    opened.find.search()
    assert [c.name for c in opened.model.categories] == ["Positive", "Negative"]


def test_health_is_told_in_words(controller: ReviewController, server: FakeServer) -> None:
    server.fake.script = [started(), done(0)]
    controller.find.check()
    assert controller.find.model.checkup.well
    assert controller.find.model.server.words == "ready on cpu"
    assert "256 MiB" in controller.find.model.server.details


def test_a_server_that_is_down_is_said_with_one_button_that_helps(
    controller: ReviewController, server: FakeServer
) -> None:
    server.fake.down = True
    controller.find.connect()
    assert controller.find.model.server.phase == "failed"
    notice = controller.model.notice
    assert notice is not None
    assert notice.action_label == "Restart"
    assert notice.action is not None
    notice.action()
    assert server.restarts == 1
    assert controller.find.model.server.phase == "ready"
    assert controller.model.notice is None


def test_streamed_points_are_the_state_and_are_recorded(
    opened: ReviewController, server: FakeServer
) -> None:
    said: list[RunStatus] = []
    opened.find.model.events.run.connect(lambda run: said.append(run))
    server.fake.script = [
        started(windows=2),
        points((10, 10), (20, 20)),
        window_done(1, 2),
        points((40, 30), first=2, confidence=0.3, window=1),
        window_done(2, 2),
        done(3),
    ]
    opened.find.search()
    assert shown(opened) == {(10, 10), (20, 20), (40, 30)}
    assert stored_points(opened) == shown(opened)
    (run,) = stored_runs(opened)
    assert run.status == "complete"
    assert run.info.model.checkpoint_sha256 == "ab" * 32
    assert run.info.region == Box(0, 0, 80, 64)
    assert opened.find.model.run.phase == "idle"
    assert said[0].phase == "starting"
    assert max(status.found for status in said) == 3
    (request,) = server.fake.requests
    assert (request.mpp, request.model, request.masks) == (0.5, "small", True)
    assert server.fake.images == [opened.images.model.open_field.entry.sha256]


def test_what_is_in_view_is_searched_first(opened: ReviewController, server: FakeServer) -> None:
    server.fake.script = [started(), done(0)]
    opened.find.search()
    opened.view.model.view_xy = (60.0, 12.5)
    opened.find.search()
    assert [request.near for request in server.fake.requests] == [None, (60.0, 12.5)]


def test_points_taken_back_at_a_seam_are_not_shown(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [
        started(),
        points((10, 10), (20, 20)),
        protocol.Hidden(indices=[0]),
        points((11, 10), first=2, confidence=0.95),
        done(2),
    ]
    opened.find.search()
    assert shown(opened) == {(20, 20), (11, 10)} == stored_points(opened)


def test_masks_reach_their_nuclei(opened: ReviewController, server: FakeServer) -> None:
    mask = Mask.from_array(np.ones((4, 6), bool), x0_px=8, y0_px=9)
    fields = mask.to_json()
    server.fake.script = [
        started(),
        points((10, 10), (20, 20)),
        protocol.Masks(masks=[protocol.MaskOut(index=0, score=0.9, **fields)]),
        done(2),
    ]
    opened.find.search()
    masks = {n.nucleus.x_px: n.nucleus.mask for n in opened.model.state.nuclei.values()}
    assert masks == {10: mask, 20: None}


def test_the_export_for_qupath_keeps_outlines(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    mask = Mask.from_array(np.ones((4, 6), bool), x0_px=8, y0_px=9)
    drawn = protocol.MaskOut(index=0, score=0.9, **mask.to_json())
    server.fake.script = [started(), points((10, 10)), protocol.Masks(masks=[drawn]), done(1)]
    opened.find.search()
    opened.export.nuclei(tmp_path / "out.geojson", export_format("geojson"))
    (found,) = read_geojson(tmp_path / "out.geojson", masks=True)
    assert found.mask == mask


def test_progress_names_its_image_and_counts_outlines(
    opened: ReviewController, server: FakeServer
) -> None:
    seen: list[RunStatus] = []
    opened.find.model.events.run.connect(seen.append)
    segmenter = model_info(id="sam", kind="segmenter")
    found = square(10, 10).to_json()
    server.fake.script = [
        started().model_copy(update={"segmenter": segmenter}),
        points((10, 10), (20, 20), (40, 40)),
        protocol.Hidden(indices=[2]),
        window_done(1, 1),
        protocol.Masks(masks=[protocol.MaskOut(index=0, score=0.9, **found)]),
        done(2),
    ]
    opened.find.search()
    path = opened.images.model.queue.items[0].path
    assert {run.image for run in seen if run.busy} == {path}
    at_the_end = [(r.outlines_done, r.outlines) for r in seen if r.windows_done]
    assert at_the_end[0] == (0, 2), "told as soon as the windows are done"
    assert at_the_end[-1] == (1, 2)
    ready = [r.seconds_left for r in seen if r.windows_done and not r.outlines_done]
    assert ready
    assert not any(left is not None for left in ready), "the pace of outlines is not known yet"


def test_a_server_that_dies_keeps_its_points_and_marks_the_run(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [
        started(windows=3),
        points((10, 10), (20, 20)),
        ServerUnavailableError("The model server stopped in the middle of its answer."),
    ]
    opened.find.search()
    assert shown(opened) == {(10, 10), (20, 20)} == stored_points(opened)
    assert [run.status for run in stored_runs(opened)] == ["interrupted"]
    notice = opened.model.notice
    assert notice.words == "The model server stopped. The 2 nuclei found so far stay."
    assert notice.action_label == "Restart"
    assert opened.find.model.run.phase == "idle"


def test_a_backend_that_breaks_keeps_its_points_as_well(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [
        started(),
        points((10, 10)),
        protocol.Failed(code="backend", message="Out of memory."),
    ]
    opened.find.search()
    assert shown(opened) == {(10, 10)}
    assert [run.status for run in stored_runs(opened)] == ["interrupted"]
    assert "Out of memory." in opened.model.notice.details


def test_a_refusal_is_said_in_the_servers_own_words(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [RequestRejectedError("There is no model 'small'.", 404)]
    opened.find.search()
    assert opened.model.notice.words == "There is no model 'small'."
    assert stored_runs(opened) == ()


def test_stopping_keeps_what_was_found(opened: ReviewController, server: FakeServer) -> None:
    server.fake.script = [
        started(windows=9),
        points((10, 10)),
        opened.find.stop,
        done(1, "cancelled"),
    ]
    opened.find.search()
    assert server.fake.cancelled == [server.fake.requests[0].run]
    assert [run.status for run in stored_runs(opened)] == ["cancelled"]
    assert shown(opened) == {(10, 10)}


def test_a_search_whose_turn_has_not_come_says_what_it_waits_for(
    opened: ReviewController, server: FakeServer
) -> None:
    seen: list[RunStatus] = []
    opened.find.model.events.run.connect(seen.append)
    words = "The model server has too much to do at the moment. Asking again in 5 s."
    server.fake.script = [words, started(), points((10, 10)), done(1)]
    opened.find.search()
    starting = [run.waiting for run in seen if run.phase == "starting"]
    assert starting[-1] == words
    assert all(starting[1:]), "it always says what it waits for"
    assert len(set(starting)) == 5, "the server, the image, the model, and whoever is before us"
    assert not any(run.waiting for run in seen if run.phase == "running")
    assert shown(opened) == {(10, 10)}


def test_a_search_stopped_while_it_waits_is_no_failure(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = ["Busy.", opened.find.stop, RequestRejectedError("Busy.", 429, 5.0)]
    opened.find.search()
    assert opened.find.model.run.phase == "idle"
    assert opened.model.notice.level != "error"
    assert stored_runs(opened) == ()


def test_a_second_search_waits_for_the_first(opened: ReviewController, server: FakeServer) -> None:
    server.fake.script = [started(), opened.find.search, points((10, 10)), done(1)]
    opened.find.search()
    assert len(server.fake.requests) == 1


def test_a_rerun_neither_destroys_nor_repeats_corrections(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10), (30, 30), (60, 50)), done(3)]
    opened.find.search()
    by_x = {n.nucleus.x_px: uid for uid, n in opened.model.state.nuclei.items()}
    opened.correct.delete([by_x[10]])
    opened.correct.move({by_x[30]: (33.0, 30.0)})
    opened.find.search()
    assert shown(opened) == {(33, 30), (60, 50)}


def test_the_models_categories_replace_the_placeholder_but_never_a_persons(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10)), done(1)]
    opened.find.search()
    assert [c.name for c in opened.model.categories] == ["Lymphocyte", "Stromal"]
    assert opened.model.categories[0].color == (86, 180, 233)
    assert opened.model.current_category == "Lymphocyte"
    opened.categories.add("Plasma cell")
    opened.find.search()
    names = ["Lymphocyte", "Stromal", "Plasma cell"]
    assert [c.name for c in opened.model.categories] == names
    assert [c.name for c in opened.session.project.categories()] == names


def test_a_drawn_region_is_clipped_to_the_image(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), done(0)]
    opened.find.search(Box(40, 30, 500, 500))
    assert server.fake.requests[0].region == (40, 30, 80, 64)
    assert opened.model.notice.words == "No nuclei were found here."


def test_a_run_that_is_undone_vanishes_and_comes_back(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10)), done(1)]
    opened.find.search()
    opened.history.undo()
    assert shown(opened) == set()
    opened.history.redo()
    assert shown(opened) == {(10, 10)}


def test_what_is_sure_suits_the_run_until_somebody_says(
    opened: ReviewController, server: FakeServer
) -> None:
    def search(**decoding: str) -> None:
        begun = started().model_copy(update={"decoding": {"method": "greedy", **decoding}})
        server.fake.script = [begun, points((10, 10), confidence=0.6), window_done(1, 1), done(1)]
        opened.find.search()

    view = opened.view.model
    assert view.sure_above == SURE_ABOVE
    search(confidence="calibrated")
    assert view.sure_above == SURE_CALIBRATED
    assert opened.model.table.unsure(view.sure_above) == 1
    search()
    assert view.sure_above == SURE_ABOVE
    assert opened.model.table.unsure(view.sure_above) == 0
    opened.view.set_sure_above(0.5)
    search(confidence="calibrated")
    assert view.sure_above == 0.5
