from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.review.model import RunStatus
from napari_nunext.ui.napari_versions import camera_of
from napari_nunext.ui.panels.find_panel import run_words
from tests.review.fakes import done, started
from tests.ui.conftest import SIDE_PX

if TYPE_CHECKING:
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
        (RunStatus("stopping", 12), "12 nuclei, stopping…"),
    ],
)
def test_progress_is_said_in_words(run: RunStatus, words: str) -> None:
    assert run_words(run) == words


def test_a_search_begins_where_one_looks(quick_app: QuickApp, server: FakeServer) -> None:
    controller, camera = quick_app.controller, camera_of(quick_app.viewer)
    server.fake.script = [started(), done(0)]
    controller.find_nuclei()
    quick_app.canvas.look_at(30.0, 77.5)
    controller.find_nuclei()
    controller.set_scale(0.25)
    camera.center = (10 * 0.25, 50 * 0.25)
    controller.find_nuclei()
    near = [request.near for request in server.fake.requests]
    assert near == [
        pytest.approx((SIDE_PX / 2, SIDE_PX / 2)),
        pytest.approx((30.0, 77.5)),
        pytest.approx((50.5, 10.5)),
    ]
