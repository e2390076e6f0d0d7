"""Packages that only some people need, and what to say to the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from napari_nunext.core.errors import NunextError


def installed(module: str, to: str, install: str, error_type: type[NunextError]) -> ModuleType:
    """A package, if it is there.

    Parameters
    ----------
    module : str
        What is imported.
    to : str
        What it is wanted for: ``"To open a.mrxs"``.
    install : str
        What a person is to install.
    error_type : type of NunextError
        What is raised if it is not installed, or cannot be used.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        why = "" if missing else f" It is there, but cannot be loaded ({error})."
        raise error_type(
            f"{to}, {module} has to be installed: pip install '{install}'.{why}"
        ) from error
