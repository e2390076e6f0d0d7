"""The window from the command line, with the model server started before anything else.

Importing napari, and importing torch and loading the model, each take seconds. They are done side
by side: the server is a process of its own, and needs nothing of what the window imports.
"""

from __future__ import annotations

import gc
import importlib
import logging
import threading
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.process.collector import collector_at_rest
from napari_nunext.places import check_is_there, is_project, models_folder
from napari_nunext.serving.client.answerers import kept, merged
from napari_nunext.serving.client.local_server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.ui.app import App

logger = logging.getLogger(__name__)


def open_images(
    paths: Sequence[Path],
    project: Path | None = None,
    mpp: float | None = None,
    *,
    image_folders: Sequence[Path] = (),
    answerers: Sequence[str] = (),
    block: bool = True,
) -> App:
    """Open the window; parameters as those of `napari_nunext.ui.app.main`.

    `answerers` can be asked in it, besides those that are kept.

    Raises
    ------
    InputError
        If what the window needs is not installed, or what is to be opened is not there or does not
        go together.
    """
    _check(paths, project, image_folders)
    asked = merged([*kept(), *answerers])
    server = LocalServer([models_folder()], answerers=asked)
    _start_ahead(server)
    try:
        with collector_at_rest():
            from napari_nunext.ui.app import main as open_window

            app = open_window(
                paths, project, mpp, block=False, started=server, image_folders=image_folders
            )
        # The window lives as long as the process: no look for garbage in it stops a hand's work.
        gc.freeze()
    except ModuleNotFoundError as error:
        server.stop()
        if error.name is not None and error.name.startswith("napari_nunext"):
            raise
        raise InputError(
            f"{error.name} is not installed. Run: pip install 'napari-nunext[all]'."
        ) from error
    if block:
        app.run()
    return app


def _start_ahead(server: LocalServer) -> None:
    """Launch the server, and connect to it while the window is made.

    Launched from here: a thread would get its turns between the imports, a tenth of a second late.
    What the connection needs is imported here, too: two threads that import packages which import
    each other are handed half of one.
    """

    def tell_if_it_fails(act: Callable[[], None]) -> None:
        try:
            act()
        except (NunextError, OSError) as error:
            # Whoever needs it starts it again, and tells the person why that fails.
            logger.warning("the model server was not started ahead: %s", error)

    tell_if_it_fails(server.launch)
    importlib.import_module("napari_nunext.serving.client.client")
    threading.Thread(
        target=tell_if_it_fails, args=(server.start,), name="nunext-server", daemon=True
    ).start()


def _check(paths: Sequence[Path], project: Path | None, image_folders: Sequence[Path]) -> None:
    """Refuse before the window is there what a person would see only in it."""
    projects = [path for path in paths if is_project(path)]
    for folder in image_folders:
        if not folder.is_dir():
            raise InputError(f"--images {folder} is not a folder. Check the name.")
    for path in projects:
        check_is_there(path)
    if projects and (project is not None or len(paths) > 1):
        raise InputError(
            f"{projects[0]} is a project, which is opened alone: give its images with --images DIR."
        )
    if image_folders and not (projects or (project is not None and project.is_file())):
        raise InputError("--images is for the images of a project: name the project, too.")
