from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from napari.settings import get_settings
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_nunext.store import Project
from napari_nunext.ui.docks import MENU_NAME, make_dock
from tests.ui.conftest import SIDE_PX
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

    Spin = Callable[..., None]


def nuclei_in_the_one_file(project: Path) -> int:
    """What another machine sees that is given this file alone."""
    copy = project.with_name("copied alone.nunext")
    shutil.copy(project, copy)
    with Project.open(copy, annotator="xy") as opened:
        opened.verify()
        assert not opened.lost_log
        (entry,) = opened.images()
        return len(opened.state(entry.sha256).nuclei)


def by_the_window(app: App) -> None:
    app.viewer.window._qt_window.close()


def by_the_viewer(app: App) -> None:
    app.viewer.close()


def by_the_file_menu(app: App) -> None:
    """Close window, and yes to napari's question."""
    QTimer.singleShot(0, lambda: answer(app, "accept"))
    app.viewer.window._qt_window.close(quit_app=False, confirm_need=True)


def by_its_question(app: App) -> None:
    """The same, after the question was first answered with no."""
    QTimer.singleShot(0, lambda: answer(app, "reject"))
    app.viewer.window._qt_window.close(quit_app=False, confirm_need=True)
    QApplication.processEvents()
    assert app.dock.isVisible()
    app.controller.correct.add(SIDE_PX / 3, SIDE_PX / 3)
    app.controller.history.undo()
    by_the_file_menu(app)


def by_destruction(app: App) -> None:
    """Of the dock, while the window stays."""
    app.dock.deleteLater()
    QApplication.sendPostedEvents(app.dock, QEvent.Type.DeferredDelete)


def answer(app: App, how: str) -> None:
    dialogs = app.viewer.window._qt_window.findChildren(ConfirmCloseDialog)
    asked = [d for d in dialogs if d.isVisible()]
    if asked:
        getattr(asked[0], how)()
    else:
        QTimer.singleShot(10, lambda: answer(app, how))


@pytest.fixture
def asking():
    settings = get_settings().application
    before = settings.confirm_close_window
    settings.confirm_close_window = True
    yield
    settings.confirm_close_window = before


@pytest.mark.parametrize(
    "close",
    [by_the_window, by_the_viewer, by_the_file_menu, by_its_question, by_destruction],
    ids=lambda close: close.__name__,
)
@pytest.mark.usefixtures("asking")
def test_however_the_window_closes_the_one_file_is_whole_and_the_server_let_go(
    app: App, server: FakeServer, spin: Spin, tmp_path: Path, close: Callable[[App], None]
) -> None:
    app.controller.correct.add(50, 60)
    app.controller.correct.add(70, 60)
    close(app)
    spin(lambda: server.stopped)
    assert nuclei_in_the_one_file(tmp_path / "review.nunext") == 2
    if close is by_destruction:
        app.viewer.close()


def test_soon_after_a_pause_the_one_file_is_whole_while_the_window_stays_open(
    app: App, spin: Spin, tmp_path: Path
) -> None:
    app.controller.correct.add(50, 60)
    log = tmp_path / "review.nunext-wal"
    spin(lambda: app.controller.model.save.phase == "saved")
    spin(lambda: not log.exists() or log.stat().st_size == 0)
    assert nuclei_in_the_one_file(tmp_path / "review.nunext") == 1


# The dock


def frame_of(app: App) -> QDockWidget:
    frame = app.dock.parentWidget()
    assert isinstance(frame, QDockWidget)
    return frame


def choose_in_the_menu(app: App) -> None:
    """Plugins > NuNext."""
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-nunext.dock").result()
    QApplication.processEvents()


def hide(app: App) -> None:
    frame_of(app).close()


def destroy(app: App) -> None:
    frame_of(app).destroyOnClose()


@pytest.mark.parametrize("vanish", [hide, destroy], ids=["hidden", "closed"])
def test_a_dock_that_is_gone_comes_back_from_the_menu_with_all_that_was_in_it(
    app: App, spin: Spin, server: FakeServer, tmp_path: Path, vanish: Callable[[App], None]
) -> None:
    app.controller.correct.add(50, 60)
    for _ in range(2):
        vanish(app)
        QApplication.processEvents()
        assert not app.dock.isVisible()
        choose_in_the_menu(app)
        spin(app.dock.isVisible)
    window = app.viewer.window._qt_window
    frames = [f for f in window.findChildren(QDockWidget) if f.objectName() == MENU_NAME]
    assert [f.widget() for f in frames if f.widget() is not None] == [app.dock]
    app.controller.correct.add(70, 60)
    vanish(app)
    app.viewer.close()
    spin(lambda: server.stopped)
    assert nuclei_in_the_one_file(tmp_path / "review.nunext") == 2


def test_a_viewer_has_one_dock(app: App) -> None:
    assert make_dock(app.viewer) is app.dock


# The application, with a server of its own

SCRIPT = """
import os, signal, sys
from pathlib import Path
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
import napari
from napari_nunext.ui import app as app_module
from napari_nunext.ui.docks import make_dock

image, project, way = sys.argv[1:]
app = app_module.main([image], project, block=False)
if way == "two windows":
    other = app_module.main(project=project + "2", block=False)
again = make_dock(app.viewer)
assert again is app.dock

def step():
    controller = app.controller
    if controller.images.model.open_field is None or controller.find.model.server.phase != "ready":
        return
    timer.stop()
    controller.correct.add(50, 60)
    leases = [app.controller._server]
    if way == "two windows":
        leases.append(other.controller._server)
    pids = {lease.pid for lease in leases}
    print(*pids, flush=True)
    if way == "two windows":
        app.viewer.close()
        QTimer.singleShot(200, other.viewer.close)
    elif way == "quit":
        QApplication.quit()
    elif way == "exit":
        sys.stdout.flush()
        sys.exit(0)  # reported by napari, and the application goes on
    else:
        os.kill(os.getpid(), getattr(signal, way))

timer = QTimer()
timer.timeout.connect(step)
timer.start(50)
try:
    from napari_nunext.ui.closing import quitting_on_terminate
    with quitting_on_terminate():
        napari.run()
except KeyboardInterrupt:
    pass
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(os.name != "posix", reason="reads /proc and sends POSIX signals")
@pytest.mark.parametrize("way", ["two windows", "quit", "SIGTERM", "SIGINT"])
def test_the_application_ends_with_one_whole_file_and_no_server_left(
    tmp_path: Path, tile: Callable[[str], Path], way: str
) -> None:
    project = tmp_path / "review.nunext"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tile("t.png")), str(project), way],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    (pid,) = map(int, done.stdout.split())  # one server, however many windows
    wait_for(lambda: not is_running(pid))
    assert nuclei_in_the_one_file(project) == 1


def test_signals_are_those_of_before_once_the_application_has_ended() -> None:
    from napari_nunext.ui.closing import quitting_on_terminate

    before = signal.getsignal(signal.SIGTERM)
    with quitting_on_terminate():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def listeners_of_the_window(app: App) -> list[str]:
    """What of the window still hears of the review."""
    models = {
        name: part.model for name, part in vars(app.controller).items() if hasattr(part, "model")
    }
    news = {
        f"{part}.{name}": getattr(model.events, name)
        for part, model in models.items()
        for name in model.events
    }
    news["focus_requested"] = app.controller.view.focus_requested
    news["folder_wanted"] = app.controller.locate.folder_wanted
    heard = []
    for name, emitter in news.items():
        for slot in emitter._slots:
            called = slot.dereference()
            if called is not None and called.__module__.startswith("napari_nunext.ui"):
                heard.append(f"{name}: {called.__qualname__}")
    return heard


def test_nothing_of_a_closed_window_hears_of_the_review(app: App) -> None:
    app.dock.show_checkup()
    assert len(listeners_of_the_window(app)) > 40
    app.viewer.close()
    assert listeners_of_the_window(app) == []
