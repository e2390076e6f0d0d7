"""Model families: what differs between one vision-language architecture and the next.

Everything else loads them through ``AutoModelForImageTextToText``. A new architecture has a
`Family` here, which registers its classes with the Auto classes. transformers is imported when a
family is used, not before: listing checkpoints needs the names alone.
"""

from __future__ import annotations

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
    "check_window",
    "embedding_rows",
    "family_names",
    "get_family",
    "pin_window",
    "register_family",
    "submodule",
    "unwrapped",
]

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
    return tuple(sorted(_families))


def get_family(name: str) -> Family:
    """Family by name.

    Raises
    ------
    CheckpointError
        If no family has this name.
    """
    if name not in _families:
        raise CheckpointError(
            f"The model family {name!r} is not known; this version serves "
            f"{', '.join(family_names())}. Use a newer release, or another checkpoint."
        )
    return _families[name]


register_family(Qwen25VL())
register_family(Qwen3VL())
register_family(ConvQwen())
