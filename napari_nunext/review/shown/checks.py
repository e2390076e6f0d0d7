"""A line of a list that says what is well and what is not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was seen."""

    passed: bool
    words: str
    needed: bool = True
    """Whether what the list is about has to wait for it."""
