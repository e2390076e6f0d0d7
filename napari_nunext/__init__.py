"""Find, review and correct nuclei with NuNext models, in napari and in Python.

Importing this package imports nothing else, so that napari can list the plugin at no cost. Its
calls are imported when they are first used: ``import napari_nunext as nn``, then
``nn.detect(image, mpp=0.25)``. Their types are in ``__init__.pyi``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "Answer",
    "Model",
    "Nuclei",
    "ProjectTables",
    "StainedNuclei",
    "Written",
    "ask",
    "detect",
    "export",
    "list_models",
    "load_model",
    "open_project",
    "segment",
    "stain",
]
__version__ = "0.1.0"

CALLS = {
    "asking": ("Answer", "ask"),
    "detecting": ("detect",),
    "exporting": ("Written", "export"),
    "models": ("Model", "list_models", "load_model"),
    "nuclei": ("Nuclei",),
    "projects": ("ProjectTables", "open_project"),
    "segmenting": ("segment",),
    "staining": ("StainedNuclei", "stain"),
}
"""What Python may ask for, by the module of `napari_nunext.api` that has it."""


def __getattr__(name: str) -> Any:
    for module, names in CALLS.items():
        if name in names:
            return getattr(import_module(f"napari_nunext.api.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
