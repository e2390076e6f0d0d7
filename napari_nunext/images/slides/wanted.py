"""What has to be installed for some formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.process.installed import installed

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
    return installed(module, f"To open {path.name}", install, ImageError)
