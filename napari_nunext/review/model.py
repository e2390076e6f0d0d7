"""What the window shows of the review as a whole: the state, the categories, words to the user.

`napari_nunext.review.shown` has what is shown of each part, and the rules for all of them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset
from napari_nunext.review.table import NucleusTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from napari_nunext.store import FieldState


@dataclass(frozen=True, slots=True)
class SaveStatus:
    """Whether what is on the screen is on the disk."""

    phase: Literal["nothing", "saving", "saved", "failed"] = "nothing"
    at: datetime | None = None
    """When the last write became durable, local time."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence for the user, at most one button, and at most one other way to go on."""

    words: str
    level: Literal["info", "warning", "error"] = "info"
    action_label: str = ""
    action: Callable[[], None] | None = None
    details: str = ""
    other_label: str = ""
    other: Callable[[], None] | None = None
    of_last_gesture: bool = False
    """Whether it tells of what the next undo takes back: that takes it away too."""


@dataclass(eq=False)
class ReviewModel:
    """What all parts of a review show together."""

    project: Path | None = None
    """The file that the review is kept in; None before one is open."""
    state: FieldState | None = None
    """The nuclei of the open image as they stand: predictions and what people did."""
    undo_steps: int = 0
    undo_words: str = ""
    """What the next undo takes back: *moved a nucleus*."""
    can_redo: bool = False
    categories: tuple[Category, ...] = ()
    current_category: str = ""
    save: SaveStatus = field(default_factory=SaveStatus)
    notice: Notice | None = None

    _table: tuple[FieldState | None, NucleusTable] = field(
        default_factory=lambda: (None, NucleusTable.empty()), init=False, repr=False
    )

    def forget_project(self) -> None:
        """Show what is shown before a project is open."""
        reset(self)

    @property
    def table(self) -> NucleusTable:
        """The nuclei of `state` as columns."""
        state, table = self._table
        if state is not self.state:
            table = table.after(self.state)
            self._table = self.state, table
        return table

    # Snapshots of a field hold thousands of nuclei: a new object is news, without comparing them.
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"state": operator.is_}
    )
