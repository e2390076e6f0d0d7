"""Pause, go on, stop and crash in the review, on a server that really searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.uids import place_in_window
from napari_nunext.review.correcting.coverage import unseen_parts
from napari_nunext.review.finding import search
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import Masks, WindowDone
from napari_nunext.store import Project
from tests.review.fakes import FakeClient, FakeServer, model_info, review_on
from tests.serving.test_detection import SEGMENTER, Oracle, Squares
from tests.serving.test_tissue import OnGlass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.serving.protocol import DetectRequest

WIDTH, HEIGHT, WINDOWS = 230, 190, 20


class Searching(FakeClient):
    """Searches with a detector that knows the nuclei; `after` is called after every event."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(5)
        self.truth = rng.uniform((0, 0), (WIDTH, HEIGHT), (160, 2))
        self.after: Callable[[Any], None] = lambda event: None
        self.model = model_info(window_px=64, mpp=0.5)
        self.searched: list[int] = []
        self.jitter_px = 3.0

    def oracle(self) -> Oracle:
        return Oracle(self.truth, WIDTH, HEIGHT, jitter_px=self.jitter_px)

    def detect(self, request: DetectRequest, *, patience: object = None) -> Iterator[Any]:
        self._answer()
        self.requests.append(request)
        ticks = iter(range(10**9))
        oracle = self.oracle()
        for event in detect_events(
            oracle,
            request,
            oracle,
            Squares().take if request.masks else None,
            run=request.run or "",
            model=self.model,
            segmenter_model=SEGMENTER if request.masks else None,
            cancelled=lambda: request.run in self.cancelled,
            clock=lambda: float(next(ticks)),
        ):
            if isinstance(event, WindowDone):
                self.searched.append(event.window)
            yield event
            self.after(event)

    def once(self, kind: type, number: int, act: Callable[[], None]) -> None:
        """Act after so many events of a kind."""
        seen = 0

        def after(event: Any) -> None:
            nonlocal seen
            seen += isinstance(event, kind)
            if isinstance(event, kind) and seen == number:
                act()

        self.after = after


class SearchingServer(FakeServer):
    """A server around it."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = Searching()


@pytest.fixture
def server() -> SearchingServer:
    return SearchingServer()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "tile.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(path)
    return path


@pytest.fixture
def reviews(
    tmp_path: Path, server: SearchingServer, image: Path
) -> Iterator[Callable[[str], ReviewController]]:
    """Open the image in a review of its own project."""
    made: list[ReviewController] = []

    def open_in(name: str) -> ReviewController:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        controller = review_on(folder, server)
        made.append(controller)
        controller.find.connect()
        controller.open.paths([image])
        controller.scale.set(0.5)
        return controller

    yield open_in
    for controller in made:
        controller.close()


def standing(controller: ReviewController) -> list[tuple[Any, ...]]:
    """The nuclei on the screen, which have to be those of the project."""
    sha256 = controller.images.model.open_field.entry.sha256
    shown = {u: n.nucleus for u, n in controller.model.state.nuclei.items()}
    stored = controller.session.project.state(sha256).nuclei
    assert shown == {u: n.nucleus for u, n in stored.items()}
    return sorted((n.x_px, n.y_px, n.confidence or 0.0, str(n.mask)) for n in shown.values())


@pytest.fixture
def undisturbed(reviews: Callable[[str], ReviewController]) -> list[tuple[Any, ...]]:
    controller = reviews("undisturbed")
    controller.find.search()
    return standing(controller)


def status(controller: ReviewController) -> list[str]:
    sha256 = controller.images.model.open_field.entry.sha256
    return [run.status for run in controller.session.project.predictions(sha256)]


def test_a_paused_search_goes_on_to_the_nuclei_of_an_undisturbed_one(
    reviews: Callable[[str], ReviewController],
    server: SearchingServer,
    undisturbed: list[tuple[Any, ...]],
) -> None:
    controller = reviews("paused")
    find = controller.find.model
    server.fake.searched.clear()
    for number, kind in ((3, WindowDone), (1, Masks), (4, WindowDone), (2, Masks)):
        server.fake.once(kind, number, controller.find.pause)
        if find.paused_search is None:
            controller.find.search()
        else:
            controller.find.go_on()
        assert status(controller) == ["interrupted"]
        assert not find.run.busy
        assert find.paused_search is not None
        done, windows = find.paused_search.windows_done, find.paused_search.windows
        assert len(server.fake.searched) == done < windows == WINDOWS
        standing(controller)
    server.fake.after = lambda event: None
    controller.find.go_on()
    assert status(controller) == ["complete"]
    assert find.paused_search is None
    assert standing(controller) == undisturbed
    assert sorted(server.fake.searched) == list(range(WINDOWS)), "each window once"
    assert controller.model.undo_steps == 1, "one search"


def test_a_server_that_dies_and_a_window_that_is_killed_leave_a_search_that_goes_on(
    reviews: Callable[[str], ReviewController],
    server: SearchingServer,
    undisturbed: list[tuple[Any, ...]],
    tmp_path: Path,
) -> None:
    controller = reviews("dies")

    def die() -> None:
        raise ServerUnavailableError("The model server stopped.")

    server.fake.once(WindowDone, 5, die)
    controller.find.search()
    assert controller.model.notice.action_label == "Restart"
    assert controller.find.model.paused_search.windows_done == 5

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    server.fake.once(Masks, 2, kill)
    with pytest.raises(Killed):
        controller.find.go_on()
    controller.session.project.close()  # as a process that ends lets go of it
    with Project.open(tmp_path / "dies" / "review.nunext", annotator="ab") as project:
        assert project.predictions(project.images()[0].sha256)[0].status == "interrupted"
    server.fake.after = lambda event: None
    again = reviews("dies")
    assert again.find.model.paused_search.windows_done > 5
    again.find.go_on()
    assert status(again) == ["complete"]
    assert standing(again) == undisturbed


def test_what_people_did_meanwhile_stays(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("edited")
    server.fake.once(WindowDone, 9, controller.find.pause)
    controller.find.search()
    nuclei = [n.nucleus for n in controller.model.state.nuclei.values()]
    moved, deleted, *_ = nuclei
    controller.correct.move({moved.uid: (moved.x_px + 1, moved.y_px)})
    controller.correct.delete([deleted.uid])
    controller.correct.add(120.0, 90.0)
    server.fake.after = lambda event: None
    controller.find.go_on()
    assert status(controller) == ["complete"]
    now = controller.model.state.nuclei
    assert now[moved.uid].nucleus.x_px == moved.x_px + 1
    assert deleted.uid not in now
    assert sum((n.nucleus.x_px, n.nucleus.y_px) == (120.0, 90.0) for n in now.values()) == 1
    standing(controller)


def test_a_nucleus_of_a_window_that_was_not_done_keeps_what_people_said_of_it(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("half")
    number = 0

    def die_within(event: Any) -> None:
        nonlocal number
        number += event.event == "points"
        if number == 30:
            raise ServerUnavailableError("The model server stopped.")

    server.fake.after = die_within
    controller.find.search()
    project, run_id = controller.session.project, controller.find.model.paused_search.run_id
    half = project.predictions(project.images()[0].sha256)[0].nuclei[-1]
    assert place_in_window(run_id, half.uid)[0] not in project.windows_done(run_id)
    assert half.uid in controller.model.state.nuclei
    controller.correct.move({half.uid: (half.x_px + 1.5, half.y_px)})
    server.fake.after = lambda event: None
    controller.find.go_on()
    assert controller.model.state.nuclei[half.uid].nucleus.x_px == half.x_px + 1.5
    standing(controller)


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_what_people_said_of_half_a_window_is_of_no_other_nucleus_when_it_is_searched_again(
    how: str,
    reviews: Callable[[str], ReviewController],
    server: SearchingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.fake.jitter_px = 0.5
    apart = np.stack(np.meshgrid(np.arange(5, WIDTH, 11), np.arange(5, HEIGHT, 11)), -1)
    server.fake.truth = np.random.default_rng(7).permutation(apart.reshape(-1, 2).astype(float))
    monkeypatch.setattr(search, "BATCH_S", 0.0)
    controller = reviews("torn")
    said: list[Nucleus] = []

    class Killed(BaseException):
        pass

    def speak(event: Any) -> None:
        runs = controller.model.state.runs.values()
        if said or event.event != "points" or not runs:
            return
        (run,) = runs
        done = controller.session.project.windows_done(run.run_id)
        half = [n for n in run.nuclei if place_in_window(run.run_id, n.uid)[0] not in done]
        if len(half) < 6:
            return
        said.extend(half[:3])
        moved, deleted, relabelled = said
        controller.correct.move({moved.uid: (moved.x_px + 3, moved.y_px)})
        controller.correct.delete([deleted.uid])
        controller.correct.relabel([relabelled.uid], "Odd")
        if how == "paused":
            controller.find.pause()
            return
        monkeypatch.setattr(search.Search, "_conclude", lambda self, status: None)
        raise Killed

    server.fake.after = speak
    if how == "paused":
        controller.find.search()
    else:
        with pytest.raises(Killed):
            controller.find.search()
        controller.session.project.close()  # as a process that ends lets go of it
        monkeypatch.undo()
        controller = reviews("torn")
    server.fake.after = lambda event: None
    moved, deleted, relabelled = said

    def check() -> None:
        nuclei = controller.model.state.nuclei
        assert nuclei[moved.uid].nucleus.x_px == moved.x_px + 3
        assert nuclei[relabelled.uid].nucleus.category == "Odd"
        assert nuclei[relabelled.uid].nucleus.x_px == relabelled.x_px
        assert {n.uid for n in nuclei.values() if n.touched} == {moved.uid, relabelled.uid}
        for gone in (moved, deleted):
            assert nuclei.near(gone.x_px, gone.y_px, 2.0) == []

    check()
    server.fake.truth = server.fake.truth[::-1]  # each window says the same in another order
    controller.find.go_on()
    assert status(controller) == ["complete"]
    check()
    standing(controller)
    whole = reviews("whole")
    whole.find.search()
    assert len(controller.model.state.nuclei) == len(whole.model.state.nuclei) - 1


def test_a_paused_field_was_not_searched_whole_and_accepting_it_says_so(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("accepted")
    server.fake.once(WindowDone, 9, controller.find.pause)
    controller.find.search()
    box = controller.images.model.open_field.box
    assert unseen_parts(controller.model.state, box) == [box]
    controller.decide.accept()
    assert "was neither searched to its end" in controller.model.notice.words
    controller.model.notice.action()
    assert controller.model.state.complete == (box,)
    server.fake.after = lambda event: None
    controller.find.go_on()
    assert controller.model.state.complete == ()
    assert controller.model.state.changed == (box,), "it is to be looked at again"


def test_a_search_that_is_stopped_or_given_up_does_not_go_on(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("stopped")
    server.fake.once(WindowDone, 9, controller.find.stop)
    controller.find.search()
    assert status(controller) == ["cancelled"]
    assert controller.find.model.paused_search is None
    server.fake.once(WindowDone, 9, controller.find.pause)
    controller.find.search()
    found = standing(controller)
    controller.find.stop()
    assert controller.model.notice.words == "Stopped. What was found so far stays."
    assert status(controller) == ["cancelled", "cancelled"]
    assert controller.find.model.paused_search is None
    assert standing(controller) == found
    controller.find.go_on()
    assert len(server.fake.requests) == 2


def test_another_model_or_scale_searches_anew_and_says_so(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("other")
    server.fake.once(WindowDone, 9, controller.find.pause)
    controller.find.search()
    server.fake.after = lambda event: None
    server.fake.model = model_info(window_px=64, mpp=0.5, checkpoint_sha256="cd" * 32)
    server.fake.searched.clear()
    controller.find.go_on()
    assert sorted(server.fake.searched) == list(range(WINDOWS))
    assert status(controller) == ["interrupted", "complete"]
    assert "searched anew" in controller.model.notice.words
    assert controller.find.model.paused_search is None
    standing(controller)


def test_only_the_open_image_offers_to_go_on_and_undo_takes_the_offer_away(
    reviews: Callable[[str], ReviewController], server: SearchingServer, tmp_path: Path
) -> None:
    controller = reviews("two")
    server.fake.once(WindowDone, 9, controller.find.pause)
    controller.find.search()
    paused = controller.find.model.paused_search
    other = tmp_path / "other.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 100, np.uint8)).save(other)
    controller.open.paths([other])
    assert controller.find.model.paused_search is None
    controller.find.go_on()
    assert len(server.fake.requests) == 1
    controller.images.previous()
    assert controller.find.model.paused_search == paused
    controller.history.undo()
    assert controller.find.model.paused_search is None
    controller.history.redo()
    assert controller.find.model.paused_search == paused


def test_closing_the_window_pauses(
    reviews: Callable[[str], ReviewController], server: SearchingServer
) -> None:
    controller = reviews("closed")
    server.fake.once(WindowDone, 9, controller.close)
    controller.find.search()
    again = reviews("closed")
    assert again.find.model.paused_search.windows_done == 9


def test_a_search_that_leaves_out_glass_leaves_out_the_same_when_it_goes_on(
    reviews: Callable[[str], ReviewController],
    server: SearchingServer,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.fake, "oracle", lambda: OnGlass(1))
    Image.fromarray(OnGlass(1).rgb).save(image)
    whole = reviews("whole")
    whole.find.leave_out_glass(True)
    whole.find.search()
    windows = sorted(server.fake.searched)
    server.fake.searched.clear()
    controller = reviews("paused")
    controller.find.leave_out_glass(True)
    server.fake.once(WindowDone, 5, controller.find.pause)
    controller.find.search()
    paused = controller.find.model.paused_search
    assert paused is not None
    assert paused.windows == len(windows)
    controller.find.leave_out_glass(False)
    controller.find.go_on()
    assert server.fake.requests[-1].tissue
    assert sorted(server.fake.searched) == windows
    assert standing(controller) == standing(whole)
    assert status(controller) == ["complete"]


def test_a_search_of_glass_alone_says_that_nothing_was_searched(
    reviews: Callable[[str], ReviewController],
    server: SearchingServer,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.fake, "oracle", lambda: OnGlass(1, pieces=0))
    Image.fromarray(OnGlass(1, pieces=0).rgb).save(image)
    controller = reviews("glass")
    controller.find.leave_out_glass(True)
    controller.find.search()
    assert controller.model.notice is not None
    assert "No tissue was seen here" in controller.model.notice.words
