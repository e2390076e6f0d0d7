"""The window from the command line, with the model server started before anything else.

Importing napari, and importing torch and loading the model, each take seconds. They are done side
by side: the server is a process of its own, and needs nothing of what the window imports.
"""

from __future__ import annotations

import gc
import logging
import threading
from typing import TYPE_CHECKING

from napari_nunext.core.collector import collector_at_rest
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.places import models_folder
from napari_nunext.serving.launcher import LocalServer

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
    block: bool = True,
) -> App:
    """Open the window; parameters as those of `napari_nunext.ui.app.main`.

    Raises
    ------
    InputError
        If what the window needs is not installed.
    """
    server = LocalServer([models_folder()])
    _start_ahead(server)
    try:
        with collector_at_rest():
            from napari_nunext.ui.app import main as open_window

            app = open_window(paths, project, mpp, block=False, started=server)
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
    """

    def tell_if_it_fails(act: Callable[[], None]) -> None:
        try:
            act()
        except (NunextError, OSError) as error:
            # Whoever needs it starts it again, and tells the person why that fails.
            logger.warning("the model server was not started ahead: %s", error)

    tell_if_it_fails(server.launch)
    threading.Thread(
        target=tell_if_it_fails, args=(server.start,), name="nunext-server", daemon=True
    ).start()
