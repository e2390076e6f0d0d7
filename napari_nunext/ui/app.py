"""The app: napari with the dock in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtWidgets import QDockWidget

from napari_nunext.places import is_project
from napari_nunext.ui.closing import quitting_on_terminate
from napari_nunext.ui.docks import MENU_NAME, make_dock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.serving.client.local_server import LocalServer
    from napari_nunext.ui.dock import NunextDock

logger = logging.getLogger(__name__)

TITLE = "NuNext"
NAPARI_PANELS = ("layer controls", "layer list")


@dataclass(frozen=True)
class App:
    """The open window, for scripts."""

    viewer: napari.Viewer
    dock: NunextDock

    @property
    def controller(self) -> ReviewController:
        """What the panels ask."""
        return self.dock.controller

    def run(self) -> None:
        """Run until the window is closed or the process is told to end, and save."""
        try:
            with quitting_on_terminate():
                napari.run()
        finally:
            self.dock.shut_down()

    def close(self) -> bool:
        """Save, end the server and close the window; False if not all was saved."""
        was_open = self.dock.is_open
        saved = self.dock.shut_down()
        if was_open:
            self.viewer.close()
        return saved


def main(
    paths: Sequence[str | Path] = (),
    project: str | Path | None = None,
    mpp: float | None = None,
    block: bool = True,
    *,
    server: ModelServer | None = None,
    started: LocalServer | None = None,
    image_folders: Sequence[Path] = (),
) -> App:
    """Open the window.

    Parameters
    ----------
    paths : sequence of path
        Images and folders of images to review, or a project.
    project : path, optional
        The review project; by default beside the first image, or in the user's data folder where
        that cannot be written.
    mpp : float, optional
        Scale of the images, um per pixel; it prevails over the files'.
    block : bool
        Whether to return only when the window is closed.
    server : ModelServer, optional
        Where the model runs; by the preferences by default.
    started : LocalServer, optional
        One of our own that was started ahead; it is stopped where the preferences name another.
    image_folders : sequence of Path
        Where the images of the project lie, if they were moved: it is opened with all of them.
    """
    viewer = napari.Viewer(title=TITLE)
    dock = make_dock(
        viewer,
        project=None if project is None else Path(project),
        mpp=mpp,
        server=server,
        started=started,
    )
    # Under this name the Plugins menu finds it, to show it again.
    viewer.window.add_dock_widget(dock, name=MENU_NAME, area="right")
    _make_room(dock.window())
    meant = [Path(path) for path in paths]
    if image_folders:
        file = next((path for path in meant if is_project(path)), None) or Path(project or "")
        images = [path for path in meant if path != file]
        dock.controller.open.project(file, images=images, folders=image_folders)
    elif meant:
        dock.controller.open.paths(meant)
    app = App(viewer, dock)
    if block:
        app.run()
    return app


def _make_room(window: QWidget) -> None:
    """Hide napari's own controls: the image is what counts. The Window menu brings them back."""
    for panel in window.findChildren(QDockWidget):
        if panel.objectName() in NAPARI_PANELS:
            panel.hide()
