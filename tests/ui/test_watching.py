"""The walk's watch sees what is only printed, and the window prints nothing of the kind."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer, qWarning

from tests.review.fakes import done, points, started
from tests.ui.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer


class Broken:
    def __del__(self) -> None:
        raise OSError("broken here")


def breaks() -> None:
    raise OSError("broken here")


def in_a_thread() -> None:
    thread = threading.Thread(target=breaks)
    thread.start()
    thread.join()


def in_a_log(name: str) -> None:
    try:
        breaks()
    except OSError:
        logging.getLogger(name).exception("It broke")


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda: QTimer.singleShot(0, breaks), id="slot"),
        pytest.param(in_a_thread, id="thread"),
        pytest.param(Broken, id="unraisable"),
        pytest.param(lambda: in_a_log("napari_nunext.review"), id="log"),
        pytest.param(lambda: in_a_log("vispy"), id="vispy"),
        pytest.param(lambda: qWarning("broken here"), id="qt"),
        pytest.param(lambda: show_error("broken here"), id="napari"),
        pytest.param(lambda: show_warning("broken here"), id="warning"),
    ],
)
def test_what_is_only_printed_is_seen(
    qapp: object, spin: Callable[..., None], act: Callable[[], object]
) -> None:
    found: list[str] = []
    with Watch() as watch:
        act()
        spin(lambda: found.extend(watch.taken()) or found)
    (what,) = found
    assert "broken here" in what


def test_our_layers_never_disagree_in_their_units_and_nothing_breaks_unseen(
    empty_app: App,
    server: FakeServer,
    tile: Callable[[str], Path],
    spin: Callable[..., None],
) -> None:
    controller, canvas, viewer = empty_app.controller, empty_app.dock.canvas, empty_app.viewer

    def search() -> None:
        server.fake.script = [started(), points((10, 10), (40, 40)), done(2)]
        controller.find.search()
        spin(lambda: not controller.find.model.run.busy)

    def draw_region() -> None:
        canvas.draw_region()
        canvas.region.layer.add_rectangles(np.array([[5, 5], [5, 50], [50, 50], [50, 5]]))

    def turn_stack() -> None:
        viewer.add_image(np.zeros((3, 20, 20)), scale=(1, 1, 1), units=("um", "um", "um"))

    steps = [
        lambda: controller.open.paths([tile("one.png"), tile("two.png")]),
        search,
        lambda: controller.scale.set(0.25),
        draw_region,
        lambda: controller.view.set_region(None),
        controller.images.next,
        search,
        viewer.layers.clear,
        turn_stack,
        lambda: setattr(canvas.nuclei.layer, "units", ("mm", "mm")),
        controller.images.previous,
    ]
    with Watch() as watch:
        for step in steps:
            step()
            spin(lambda: controller.images.model.open_field and not controller.images.model.loading)
            canvas.flush()
            spin(lambda: not canvas.is_putting_right)
            assert viewer.layers.extent.units is not None
        assert watch.taken() == []
