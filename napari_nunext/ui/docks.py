"""The docks of this application: one for each viewer, however often it is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING

import napari
from qtpy.QtWidgets import QDockWidget

from napari_nunext.core.errors import InputError
from napari_nunext.places import models_folder
from napari_nunext.review.controller import ReviewController
from napari_nunext.review.model import Notice
from napari_nunext.serving.client import answerers
from napari_nunext.serving.client.leases import SharedServers
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.ui.bridge import MainThread
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.dock import NunextDock
from napari_nunext.ui.napari_versions import unwrapped
from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys
from napari_nunext.ui.places import default_project_path
from napari_nunext.ui.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.store import Project
    from napari_nunext.ui.settings import Settings

MENU_NAME = "NuNext (NuNext)"
"""What napari calls the dock that its Plugins menu opens: the name under which it finds it."""

_servers = SharedServers(
    lambda precision: LocalServer(
        [models_folder()], precision=precision, answerers=answerers.kept()
    )
)
NOT_ASKED = (
    "The model server is shared: it knows nothing of answerers that are given here. They are given "
    "where it is started, with napari-nunext serve --answerer."
)
_docks: list[NunextDock] = []


def make_dock(
    viewer: napari.viewer.Viewer | None = None,
    *,
    project: Path | None = None,
    mpp: float | None = None,
    server: ModelServer | None = None,
    started: LocalServer | None = None,
) -> NunextDock:
    """The dock for a viewer; asked for again, the same.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        The current one by default.
    project : Path, optional
        The review project; beside the first image by default.
    mpp : float, optional
        Scale of the images, um per pixel; it prevails over the files'.
    server : ModelServer, optional
        Where the model runs; by the preferences by default, shared by all windows.
    started : LocalServer, optional
        One of our own that was started ahead; it is stopped where it is not needed.
    """
    wanted = unwrapped(viewer or napari.current_viewer())
    there = open_dock(wanted)
    if there is not None:
        _leave_shell(there)
        return there
    dock = _new_dock(wanted, project, mpp, server, started)
    _docks.append(dock)
    dock.on_shut_down(lambda: _docks.remove(dock))
    dock.controller.find.connect()
    return dock


def open_dock(viewer: napari.viewer.Viewer) -> NunextDock | None:
    """The dock that a viewer has; None where it has none yet."""
    wanted = unwrapped(viewer)
    return next((dock for dock in _docks if dock.viewer is wanted), None)


def _new_dock(
    viewer: napari.viewer.Viewer,
    project: Path | None,
    mpp: float | None,
    server: ModelServer | None,
    started: LocalServer | None,
) -> NunextDock:
    from napari_nunext.store import Project

    settings = read_settings()
    bridge = MainThread()

    def open_project(path: Path) -> Project:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Project.open(path, annotator=settings.annotator)

    controller = ReviewController(
        open_project,
        lambda paths: project or default_project_path(paths),
        server or _server(settings, started),
        ThreadPoolExecutor(4, thread_name_prefix="nunext"),
        bridge.post,
        models_dir=models_folder(),
        default_mpp=settings.default_mpp,
        mpp=mpp,
        ratings=settings.ratings,
    )
    if settings.server_url and started is not None and started.answerers:
        controller.session.notify(Notice(NOT_ASKED, "warning"))
    if problems := KEYS.read(settings.keys):
        controller.session.notify(Notice(problems, "warning"))
    return NunextDock(viewer, controller, bridge, _answer_keys(settings, controller))


def _answer_keys(settings: Settings, controller: ReviewController) -> AnswerKeys:
    """Those that were chosen; the usual ones, and why, where that cannot be."""
    try:
        return AnswerKeys.chosen(settings.answer_keys)
    except InputError as error:
        words = f"{error} The usual keys count until you change it in napari's preferences."
        controller.session.notify(Notice(words, "warning"))
        return AnswerKeys()


def _leave_shell(dock: NunextDock) -> None:
    """Take the dock out of the frame that it is in, hidden or not: it is about to get a new one."""
    frame = dock.parentWidget()
    if isinstance(frame, QDockWidget):
        dock.viewer.window.remove_dock_widget(frame)


def _server(settings: Settings, started: LocalServer | None) -> ModelServer:
    if not settings.server_url:
        return _servers.lease(started, precision=settings.precision)
    from napari_nunext.review.finding.servers import SharedServer

    if started is not None:
        Thread(target=started.close, name="nunext-server-end").start()  # it may yet be starting
    return SharedServer(settings.server_url, settings.server_token or None)
