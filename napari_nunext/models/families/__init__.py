"""Model families: what differs between one vision-language architecture and the next.

Everything else loads them through ``AutoModelForImageTextToText`` and hands their `prompt.Prompt`
on whole. A new architecture has a `Family`, which registers its classes with the Auto classes:
here, or in a package of its own that names it in the entry point group `GROUP`. transformers and
other packages are imported when a family is used, not before: listing checkpoints needs the names
alone.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.families.base import (
    Family,
    ModelSize,
    check_window,
    embedding_rows,
    pin_window,
    submodule,
    unwrapped,
)
from napari_nunext.models.families.conv_qwen import ConvQwen
from napari_nunext.models.families.qwen_vl import Qwen3VL, Qwen25VL

__all__ = [
    "Family",
    "ModelSize",
    "check_family",
    "check_window",
    "embedding_rows",
    "family_names",
    "get_family",
    "is_family",
    "pin_window",
    "register_family",
    "submodule",
    "unwrapped",
]

GROUP = "napari_nunext.families"
"""Entry points of other packages: a family's name, and what returns it when it is called."""

_families: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Add an architecture.

    Raises
    ------
    CheckpointError
        If its name is taken.
    """
    if family.name in _families:
        raise CheckpointError(f"The model family {family.name!r} is registered already.")
    _families[family.name] = family


def family_names() -> tuple[str, ...]:
    """Names of the families that can be loaded, sorted."""
    return tuple(sorted({*_families, *entry_points(group=GROUP).names}))


def is_family(name: str) -> bool:
    """Whether a family can be loaded by this name."""
    # Of what all packages offer, each reading takes some 50 ms: ours come first.
    return name in _families or name in entry_points(group=GROUP).names


def check_family(name: str) -> None:
    """Raise `CheckpointError` unless a family has this name."""
    if not is_family(name):
        raise CheckpointError(
            f"The model family {name!r} is not known; this version serves "
            f"{', '.join(family_names())}. Use a newer release, or another checkpoint."
        )


def get_family(name: str) -> Family:
    """Family by name.

    Raises
    ------
    CheckpointError
        If no family has this name, or the package that brings it cannot be used.
    """
    check_family(name)
    if name in _families:
        return _families[name]
    (entry_point, *_) = entry_points(group=GROUP, name=name)
    try:
        family: Family = entry_point.load()()
        if family.name != name:
            raise ValueError(f"it calls itself {family.name!r}")
    except Exception as error:
        raise CheckpointError(
            f"The model family {name!r} of {entry_point.module} cannot be used "
            f"({type(error).__name__}: {error}). Update or mend that package, and start again."
        ) from error
    return family


register_family(Qwen25VL())
register_family(Qwen3VL())
register_family(ConvQwen())
