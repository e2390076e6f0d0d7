"""What stands in the place of a figure while there is too little to compute it from."""

from __future__ import annotations

from dataclasses import dataclass

FEWEST = 20
"""Answers that two readers judged, or blind votes, under which no figure is shown (ours)."""


@dataclass(frozen=True, slots=True)
class NotEnough:
    """No figure yet. A value and no error: every project begins like this."""

    why: str
    """What is missing, from a small letter on and without a full stop."""

    @property
    def in_words(self) -> str:
        """One sentence for people."""
        return f"Not enough yet: {self.why}."
