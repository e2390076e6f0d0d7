"""The server as a child process: ``python -m napari_nunext.serving``, started by the launcher.

Its token comes in the environment, its address goes out in one line of JSON, and it ends when its
standard input does. People start a server with ``napari-nunext serve``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.models.catalog import Catalog
from napari_nunext.serving.serve import serve
from napari_nunext.serving.settings import TOKEN_VARIABLE, ServerSettings, model_folders

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE_S = 4.0
"""How long the server may take to end by itself once its parent is gone."""


def main() -> int:
    """Serve the parent, for as long as it lives."""
    parser = argparse.ArgumentParser(prog="python -m napari_nunext.serving")
    parser.add_argument("--models", type=Path, action="append", default=[])
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    answer = _take_stdout()

    def ready(url: str, stop: Callable[[], None]) -> None:
        threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
        with os.fdopen(answer, "w", encoding="utf-8") as file:
            file.write(json.dumps({"url": url}) + "\n")

    try:
        settings = ServerSettings(token=os.environ.pop(TOKEN_VARIABLE, None))
        serve(settings, Catalog(model_folders(args.models)), ready=ready)
    except NunextError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _take_stdout() -> int:
    """The pipe to the parent, for us alone: what libraries print goes to the log from now on."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def _end_with_parent(stop: Callable[[], None]) -> None:
    """Wait for the end of standard input, which comes with the parent's, however it ends."""
    while os.read(0, 4096):
        pass
    stop()
    threading.Event().wait(GRACE_S)
    os._exit(1)  # a model in the middle of a step, or a caller that does not let go


if __name__ == "__main__":
    sys.exit(main())
