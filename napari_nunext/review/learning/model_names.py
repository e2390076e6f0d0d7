"""Names of new models that people can tell apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

_JOINT = " + "
NEW = "new small"
"""What stands for the base of a model that was made anew."""


def model_name(base: str, fields: int, at: datetime, taken: Collection[str] = ()) -> str:
    """Say what a model came from, how much it learned, and when.

    Parameters
    ----------
    base : str
        Name of the model that was trained further; of one with such a name, its own base is named:
        each training learns from all fields again.
    fields : int
        How many it learned from.
    at : datetime
        Local time.
    taken : collection of str
        Names that other models have.

    Examples
    --------
    >>> from datetime import datetime
    >>> model_name("nunext-small", 12, datetime(2024, 11, 26, 14, 5))
    'nunext-small + 12 fields, 26 Nov 14:05'
    """
    root = base.split(_JOINT)[0].strip() or NEW
    learned = f"{fields} field{'' if fields == 1 else 's'}"
    name = f"{root}{_JOINT}{learned}, {at.day} {at:%b %H:%M}"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique


def folder_name(base: str, fields: int, at: datetime, taken: Collection[str] = ()) -> str:
    """The same for a folder, which is also the model's id: of characters that every disk takes."""
    root = re.sub(r"[^a-z0-9]+", "-", base.split(_JOINT)[0].casefold()).strip("-") or "model"
    name = f"{root}-{fields}-fields-{at:%Y%m%d-%H%M%S}"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
