"""All images of the list, searched in the background of a window, by a server that searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.review.batch import stations
from napari_nunext.serving.protocol import WindowDone
from tests.review.fakes import review_on
from tests.review.test_pausing import HEIGHT, WIDTH, WINDOWS, SearchingServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def server() -> SearchingServer:
    return SearchingServer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tiles"
    made.mkdir()
    for shade, name in enumerate(NAMES):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200 + shade, np.uint8)).save(made / name)
    return made


@pytest.fixture
def reviews(
    tmp_path: Path, server: SearchingServer, folder: Path
) -> Iterator[Callable[..., ReviewController]]:
    made: list[ReviewController] = []

    def open_it(*, scaled: bool = True) -> ReviewController:
        controller = review_on(tmp_path, server)
        made.append(controller)
        controller.find.connect()
        controller.open.paths([folder])
        if scaled:
            controller.scale.set(0.5, for_all=True)
        return controller

    yield open_it
    for controller in made:
        controller.close()


def searched(controller: ReviewController, server: SearchingServer) -> list[str]:
    """The names of the images that were asked for, in order, without what only asks how."""
    names = {entry.sha256: entry.name for entry in controller.session.project.images()}
    return [names[r.image] for r in server.fake.requests if r.image in names]


def statuses(controller: ReviewController) -> dict[str, list[str]]:
    project = controller.session.project
    return {
        entry.name: [run.status for run in project.predictions(entry.sha256)]
        for entry in project.images()
    }


def test_the_open_image_goes_first_and_what_was_searched_is_left_alone(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    controller.images.go_to(1)
    controller.find_all.search()
    assert searched(controller, server) == ["b.png", "a.png", "c.png"]
    assert statuses(controller) == {name: ["complete"] for name in NAMES}
    assert controller.model.notice.words == "3 images searched."
    assert controller.find_all.model.status.phase == "idle"
    controller.find_all.search()
    assert len(searched(controller, server)) == 3
    assert "3 had been searched before" in controller.model.notice.words
    controller.find.leave_out_glass(True)
    controller.find_all.search()
    assert len(searched(controller, server)) == 6, "that is another search"
    controller.images.go_to(0)
    assert len(controller.model.state.nuclei) > 100
    controller.find.leave_out_pen(True)
    controller.find_all.search()
    assert len(searched(controller, server)) == 9, "and that too"
    assert {r.pen for r in server.fake.requests[-3:]} == {True}


def test_undo_takes_back_what_the_person_did_meanwhile_and_no_search(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    steps = controller.model.undo_steps
    server.fake.once(WindowDone, WINDOWS + 5, lambda: controller.correct.add(20.0, 20.0))
    controller.find_all.search()
    assert controller.model.undo_steps == steps + 1
    found = len(controller.model.state.nuclei)
    controller.history.undo()
    assert len(controller.model.state.nuclei) == found - 1
    assert statuses(controller) == {name: ["complete"] for name in NAMES}


def test_one_looks_at_other_images_meanwhile_and_only_those_stay_in_memory(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    seen: list[int] = []

    def look() -> None:
        controller.images.go_to(1)
        controller.images.go_to(0)
        controller.images.go_to(1)
        seen.append(len(controller.model.state.nuclei))

    server.fake.once(WindowDone, WINDOWS + WINDOWS // 2, look)
    controller.find_all.search()
    assert searched(controller, server) == list(NAMES)
    assert 0 < seen[0] < len(controller.model.state.nuclei), "what is found is shown as it comes"
    known = [controller.session.known_field(i.path) for i in controller.images.model.queue.items]
    assert [each is not None for each in known] == [True, True, False]
    controller.images.go_to(2)
    assert len(controller.model.state.nuclei) > 100


def test_a_pause_holds_for_all_and_goes_on_with_the_windows_that_are_left(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    status = controller.find_all.model
    server.fake.once(WindowDone, WINDOWS + 7, controller.find_all.pause)
    controller.find_all.search()
    assert (status.status.phase, status.status.ended) == ("paused", 1)
    assert statuses(controller) == {"a.png": ["complete"], "b.png": ["interrupted"]}
    server.fake.after = lambda event: None
    server.fake.searched.clear()
    controller.find_all.go_on()
    assert statuses(controller) == {name: ["complete"] for name in NAMES}
    assert len(server.fake.searched) == 2 * WINDOWS - 7
    assert "1 had been searched before" in controller.model.notice.words


def test_stopped_it_stays_stopped(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    server.fake.once(WindowDone, WINDOWS + 7, controller.find_all.stop)
    controller.find_all.search()
    assert controller.find_all.model.status.phase == "idle"
    assert controller.model.notice.words == "Stopped. What was found so far stays."
    assert statuses(controller) == {"a.png": ["complete"], "b.png": ["cancelled"]}
    controller.find_all.go_on()
    assert len(searched(controller, server)) == 2


def test_closed_and_opened_again_the_same_wish_goes_on(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    server.fake.once(WindowDone, WINDOWS + 7, controller.close)
    controller.find_all.search()
    server.fake.after = lambda event: None
    again = reviews()
    assert statuses(again) == {"a.png": ["complete"], "b.png": ["interrupted"]}
    again.find_all.search()
    assert searched(again, server) == ["a.png", "b.png", "b.png", "c.png"]
    assert statuses(again) == {name: ["complete"] for name in NAMES}


def test_a_broken_image_is_named_and_the_others_go_on(
    reviews: Callable[..., ReviewController], server: SearchingServer, folder: Path
) -> None:
    controller = reviews()
    (folder / "b.png").write_bytes(b"no image")
    controller.find_all.search()
    assert searched(controller, server) == ["a.png", "c.png"]
    notice = controller.model.notice
    assert notice.words.startswith("2 images searched. 1 image could not be searched")
    assert notice.details.count("b.png") == 1
    item = controller.images.model.queue.items[1]
    assert item.status == "unreadable"
    assert item.problem


def test_a_server_that_goes_away_is_waited_for(
    reviews: Callable[..., ReviewController],
    server: SearchingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stations, "SHORTEST_PAUSE_S", 0.0)
    controller = reviews()
    told: list[str] = []
    controller.find_all.model.events.status.connect(lambda status: told.append(status.waiting))
    asked: list[bool] = []

    def go_away() -> None:
        server.fake.down = True
        raise ServerUnavailableError("The model server stopped.")

    answers = stations.Station.answers

    def come_back(station: Any) -> bool:
        asked.append(answers(station))
        server.fake.down = len(asked) < 3
        return asked[-1]

    monkeypatch.setattr(stations.Station, "answers", come_back)
    server.fake.once(WindowDone, 5, go_away)
    controller.find_all.search()
    assert asked == [False, False, False, True]
    assert "The model server does not answer. Waiting for it." in told
    assert statuses(controller) == {name: ["complete"] for name in NAMES}
    assert searched(controller, server) == ["a.png", *NAMES]


def test_scales_that_nobody_said_are_asked_about_once_for_all(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews(scaled=False)
    controller.find_all.search()
    notice = controller.model.notice
    assert notice.words == (
        "a.png does not say its scale: 0.5 um/px is assumed. So it is with 2 other images."
    )
    assert searched(controller, server) == []
    notice.action()
    assert searched(controller, server) == list(NAMES)


def test_regions_that_are_left_out_hold_for_each_image(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    controller.images.go_to(2)
    half = np.array([(0.0, 0.0), (WIDTH / 2, 0.0), (WIDTH / 2, HEIGHT), (0.0, HEIGHT)])
    controller.regions.model.kind = "leave_out"
    controller.regions.draw(half)
    controller.images.go_to(0)
    controller.find_all.search()
    controller.images.go_to(2)
    nuclei = controller.model.state.nuclei.values()
    assert min(n.nucleus.x_px for n in nuclei) >= WIDTH / 2
    controller.images.go_to(1)
    assert min(n.nucleus.x_px for n in controller.model.state.nuclei.values()) < WIDTH / 2
    controller.find_all.search()
    assert "3 had been searched before" in controller.model.notice.words


def test_another_search_ends_first(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    server.fake.once(WindowDone, 3, controller.find_all.search)
    controller.find.search()
    assert searched(controller, server) == ["a.png"], "the panel offers it when that has ended"


def test_another_project_is_opened_only_when_it_may_be_stopped(
    reviews: Callable[..., ReviewController],
    server: SearchingServer,
    tmp_path: Path,
) -> None:
    controller = reviews()
    said: list[str] = []

    def open_another() -> None:
        controller.open.project(tmp_path / "other.nunext")
        said.append(controller.model.notice.words)

    server.fake.once(WindowDone, 3, open_another)
    controller.find_all.search()
    assert said[0].startswith("The search of all images is still running.")
    assert statuses(controller) == {name: ["complete"] for name in NAMES}


def test_accepted_images_are_left_as_they_are(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    controller.images.go_to(1)
    controller.find.search()
    controller.decide.accept()
    before, asked = statuses(controller)["b.png"], len(searched(controller, server))
    controller.find.leave_out_glass(True)  # another search than that
    controller.images.go_to(0)
    controller.find_all.search()
    assert searched(controller, server)[asked:] == ["a.png", "c.png"]
    assert statuses(controller)["b.png"] == before
    assert controller.images.model.queue.items[1].status == "done"
    assert controller.model.notice.words == "2 images searched, 1 accepted and left as they are."


def test_an_image_that_is_accepted_before_its_turn_is_passed(
    reviews: Callable[..., ReviewController], server: SearchingServer
) -> None:
    controller = reviews()
    controller.images.go_to(1)
    controller.find.search()
    controller.find.leave_out_glass(True)
    controller.images.go_to(0)
    asked = len(searched(controller, server))

    def accept_the_next() -> None:
        controller.images.go_to(1)
        controller.decide.accept()

    server.fake.once(WindowDone, 3, accept_the_next)
    controller.find_all.search()
    assert searched(controller, server)[asked:] == ["a.png", "c.png"]
    assert controller.model.notice.words == "2 images searched, 1 accepted and left as they are."
