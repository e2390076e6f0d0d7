"""What has to be installed for some formats."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

EXTRA = "napari-nunext[slides]"


def wanted_package(module: str, path: Path, install: str = EXTRA) -> ModuleType:
    """The package that reads a file.

    Parameters
    ----------
    module : str
        What is imported.
    path : Path
        Of the file, named in the message.
    install : str
        What a person is to install.

    Raises
    ------
    ImageError
        If it is not installed, or cannot be used.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        why = "" if missing else f" It is there, but cannot be loaded ({error})."
        raise ImageError(
            f"To open {path.name}, {module} has to be installed: pip install '{install}'.{why}"
        ) from error
