"""What takes long is among napari's own activities, and goes when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
from napari.utils.progress import progress

from napari_nunext.review.shown.find import RunStatus
from napari_nunext.review.shown.learn import TrainingStatus
from tests.review.fakes import done, points, started, window_done
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer


def ours() -> dict[str, tuple[int, int]]:
    """Done and total of each bar that there is, by its words."""
    return {bar.desc.removesuffix(": "): (bar.n, bar.total) for bar in progress._all_instances}


def test_a_search_is_an_activity_while_it_runs(
    app: App, server: FakeServer, spin: Callable[..., None], capfd
) -> None:
    find = app.controller.find
    seen: list[dict[str, tuple[int, int]]] = []

    def look() -> None:  # in the search's thread
        wait_for(ours)
        seen.append(ours())

    server.fake.script = [started(windows=4), points((10, 10)), window_done(2, 4), look, done(1)]
    find.search()
    spin(lambda: not find.model.run.busy)
    (words,) = seen[0]
    assert words.startswith("Finding nuclei")
    spin(lambda: ours() == {})
    assert "Finding nuclei" not in "".join(capfd.readouterr())


def test_a_bar_of_napari_stands_for_it(app: App, spin: Callable[..., None]) -> None:
    window, find = app.viewer.window._qt_window, app.controller.find.model
    find.run = RunStatus("running", 12, 1, 4, progress=0.25)
    spin(lambda: (25, 100) in ours().values())
    (bar,) = window.findChildren(QtLabeledProgressBar)
    assert bar.description_label.text().startswith("Finding nuclei: 12 nuclei")
    assert (bar.qt_progress_bar.value(), bar.qt_progress_bar.maximum()) == (25, 100)
    find.run = RunStatus()
    spin(lambda: ours() == {})


def test_bars_move_outside_of_what_the_review_tells(app: App) -> None:
    """napari has Qt handle events when a bar moves: never while a status is being told."""
    app.controller.find.model.run = RunStatus("running", 12, 1, 4, progress=0.25)
    assert ours() == {}


def test_training_is_another_and_none_outlives_the_window(
    app: App, spin: Callable[..., None]
) -> None:
    app.controller.learn.model.training = TrainingStatus("training", 5, 20, words="Step 5")
    app.controller.find.model.run = RunStatus("starting")
    spin(lambda: len(ours()) == 2)
    assert ours()["Training: Step 5"] == (25, 100)
    app.controller.learn.model.training = TrainingStatus()
    app.controller.find.model.run = RunStatus()
    app.dock._connections.cut()
    assert ours() == {}
