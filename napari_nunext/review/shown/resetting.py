"""What is forgotten of a model when the project is left."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


def reset(model: Any, *, keep: Collection[str] = ()) -> None:
    """Show what a model shows at first.

    Parameters
    ----------
    model : an evented dataclass
    keep : collection of str
        Its attributes that belong to the window, and stay.
    """
    fresh = type(model)()
    for shown in fields(model):
        if shown.init and shown.name not in keep:
            setattr(model, shown.name, getattr(fresh, shown.name))
