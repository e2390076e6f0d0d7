from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton

from napari_nunext.review.shown.find import RunStatus
from napari_nunext.ui.napari_versions import camera_of
from napari_nunext.ui.panels.find_panel import run_words
from napari_nunext.ui.panels.only_menu import OnlyMenu
from tests.review.fakes import done, points, started, window_done
from tests.ui.conftest import SIDE_PX
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer
    from tests.ui.conftest import QuickApp


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RunStatus("starting", waiting="Sending the image…"), "Sending the image…"),
        (RunStatus("running", 12, 1, 4, 75.0), "12 nuclei, 75 s left"),
        (RunStatus("running", 12, 1, 4), "12 nuclei, 1 of 4 windows"),
        (RunStatus("running", 12, 4, 4), "12 nuclei"),
        (RunStatus("running", 12, 4, 4, outlines=12), "12 nuclei, outlines 0 of 12"),
        (
            RunStatus("running", 12, 4, 4, 8.0, outlines_done=3, outlines=12),
            "12 nuclei, outlines 3 of 12, 8 s left",
        ),
        (
            RunStatus("running", 12, 1, 4, windows_left_out=3),
            "12 nuclei, 1 of 4 windows, 3 windows of glass left out",
        ),
        (RunStatus("pausing", 12), "12 nuclei, pausing…"),
        (RunStatus("stopping", 12), "12 nuclei, stopping…"),
    ],
)
def test_progress_is_said_in_words(run: RunStatus, words: str) -> None:
    assert run_words(run) == words


def test_a_search_begins_where_one_looks(quick_app: QuickApp, server: FakeServer) -> None:
    controller, camera = quick_app.controller, camera_of(quick_app.viewer)
    server.fake.script = [started(), done(0)]
    controller.find.search()
    quick_app.canvas.sight.look_at(30.0, 77.5)
    controller.find.search()
    controller.scale.set(0.25)
    camera.center = (10 * 0.25, 50 * 0.25)
    controller.find.search()
    near = [request.near for request in server.fake.requests]
    assert near == [
        pytest.approx((SIDE_PX / 2, SIDE_PX / 2)),
        pytest.approx((30.0, 77.5)),
        pytest.approx((50.5, 10.5)),
    ]


def test_categories_are_searched_for_alone_where_they_are_ticked(
    app: App, server: FakeServer, spin: Callable[..., None]
) -> None:
    controller, requests = app.controller, server.fake.requests
    (menu,) = app.dock.review.finder.findChildren(OnlyMenu)

    def search() -> None:
        asked = len(requests)
        controller.find.search()
        spin(lambda: len(requests) > asked and not controller.find.model.run.busy)

    def choose(name: str) -> None:
        next(a for a in menu.menu.actions() if a.text() == name).trigger()

    def words() -> str:
        (chip,) = menu.findChildren(QPushButton)
        return chip.text()

    server.fake.script = [started(), done(0)]
    assert words() == "All categories"
    search()
    choose("Stromal")
    assert words() == "Only Stromal"
    search()
    choose("Lymphocyte")  # then it is all of them
    assert words() == "All categories"
    search()
    choose("Lymphocyte")
    choose("All categories")
    search()
    assert [request.only for request in requests] == [None, ["Stromal"], None, None]


def test_glass_is_left_out_where_it_is_ticked(
    app: App, server: FakeServer, spin: Callable[..., None]
) -> None:
    controller, requests = app.controller, server.fake.requests
    tick, pen = app.dock.review.finder.findChildren(QCheckBox)

    def search() -> None:
        asked = len(requests)
        controller.find.search()
        spin(lambda: len(requests) > asked and not controller.find.model.run.busy)

    server.fake.script = [started(), done(0)]
    search()
    assert pen.isHidden()
    tick.click()
    search()
    assert not pen.isHidden()
    pen.click()
    search()
    controller.find.leave_out_glass(False)
    assert not tick.isChecked()
    assert pen.isHidden()
    search()
    assert [request.tissue for request in requests] == [None, True, True, None]
    assert [request.pen for request in requests] == [None, None, True, None]


def test_pause_and_go_on_stand_where_find_stood(
    app: App, server: FakeServer, spin: Callable[..., None]
) -> None:
    controller, panel = app.controller, app.dock.review.finder
    find = controller.find.model

    def offered() -> list[str]:
        return [b.text() for b in panel.findChildren(QPushButton) if not b.isHidden()]

    def press(label: str) -> None:
        (named,) = [b for b in panel.findChildren(QPushButton) if b.text() == label]
        assert not named.isHidden()
        named.click()

    while_searching: list[list[str]] = []

    def press_pause() -> None:
        while_searching.append(offered())
        press("Pause")

    def pause() -> None:  # in the search's thread
        controller.session.background.on_main(press_pause)
        wait_for(lambda: server.fake.cancelled)

    server.fake.script = [
        started(windows=4, plan="a plan"),
        points((10, 10)),
        window_done(1, 4),
        pause,
        done(1, "cancelled"),
    ]
    press("Find nuclei")
    spin(lambda: find.paused_search)
    assert {"Pause", "Stop"} <= set(while_searching[0])
    assert "Go on" not in while_searching[0]
    assert "Paused at 1 of 4 windows" in [label.text() for label in panel.findChildren(QLabel)]
    assert {"Go on", "Stop"} <= set(offered())
    assert not {"Pause", "Find nuclei"} & set(offered())
    server.fake.script = [started(windows=4, plan="a plan", resumed=True), done(0)]
    press("Go on")
    spin(lambda: not find.run.busy and find.paused_search is None)
    assert server.fake.requests[-1].resume is not None
    assert server.fake.requests[-1].resume.done == [0]
    assert "Find nuclei" in offered()

    while_searching.clear()
    server.fake.cancelled.clear()
    press("All")
    assert "Find nuclei in all images" in offered()
    server.fake.script = [
        started(windows=4, plan="another plan", checkpoint_sha256="cd" * 32),
        window_done(1, 4),
        pause,
        done(0, "cancelled"),
    ]
    press("Find nuclei in all images")
    every = controller.find_all.model
    spin(lambda: every.status.phase == "idle" and controller.model.notice)
    assert "does not say its scale" in controller.model.notice.words
    assert controller.model.notice.action_label == "Search all the same"
    controller.model.notice.action()
    spin(lambda: every.status.phase == "paused")
    assert {"Pause", "Stop"} <= set(while_searching[0])
    assert not {"Find nuclei in all images", "Go on"} & set(while_searching[0])
    assert {"Go on", "Stop"} <= set(offered())
    images = every.status.images
    assert f"Paused: 0 of {images} images are done" in [
        label.text() for label in panel.findChildren(QLabel)
    ]
    press("Stop")
    assert "Find nuclei in all images" in offered()
