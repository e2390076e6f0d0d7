"""Where this application keeps what is the user's own (models, logs), and what comes with it."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path, user_log_path

from napari_nunext.core.errors import StoreError

HOME_VARIABLE = "NAPARI_NUNEXT_HOME"
"""Environment variable that names another folder for all of it: a shared disk, or a trial."""

BUNDLED_WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Checkpoints that come with the package."""


PROJECT_SUFFIX = ".nunext"
"""Of a review project's file."""


def is_project(path: Path) -> bool:
    """Whether a path is meant to be a review project, by its name."""
    return path.suffix == PROJECT_SUFFIX and not path.is_dir()


def check_is_there(project: Path, instead: str = "") -> None:
    """Refuse the name of a review project that is not there, in the words of all commands.

    Parameters
    ----------
    project : Path
        Its file.
    instead : str
        What else than to check the name may be done: ``", or create one"``.

    Raises
    ------
    StoreError
        If nothing lies there.
    """
    if not project.exists():
        raise StoreError(f"There is no project {project}. Check the name{instead}.")


def user_folder() -> Path:
    """The user's own folder for this application."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else user_data_path("napari-nunext", appauthor=False)


def models_folder() -> Path:
    """Where the user's models are."""
    return user_folder() / "models"


def answerers_file() -> Path:
    """Which models of other servers the user's own model server is to ask."""
    return user_folder() / "answerers.txt"


def log_folder() -> Path:
    """Where logs are written."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) / "logs" if home else user_log_path("napari-nunext", appauthor=False)
