"""Where things are kept: review projects and the user's models."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT_FILE = "nunext-review.nunext"


def user_folder() -> Path:
    """The user's own folder for this application."""
    return user_data_path("napari-nunext", appauthor=False)


def models_folder() -> Path:
    """Where the user's models are."""
    return user_folder() / "models"


def default_project_path(paths: Sequence[Path]) -> Path:
    """The project for images: beside the first where that folder can be written, else the user's.

    A package's own folder, such as that of a sample image, is never written to.
    """
    if paths:
        folder = paths[0].resolve().parent
        installed = Path(sysconfig.get_path("purelib")).resolve()
        if not folder.is_relative_to(installed) and os.access(folder, os.W_OK):
            return folder / PROJECT_FILE
    return user_folder() / PROJECT_FILE
