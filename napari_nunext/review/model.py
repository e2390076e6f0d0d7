"""What the window shows: one evented model made of frozen snapshots.

`ReviewModel` has one attribute for each thing that a panel draws. Setting an attribute to a new
snapshot emits ``model.events.<attribute>``; nothing is ever changed in place. Only the parts
of the review set attributes, and only on the main thread.
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
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Category
    from napari_nunext.review.drafts import Draft
    from napari_nunext.store import FieldState

SURE_ABOVE = 0.45
"""Confidence from which a nucleus counts as sure, until the user moves the slider."""

OF_WINDOW = frozenset(
    {
        "tool",
        "outline_way",
        "brush_um",
        "sure_above",
        "outlines",
        "points",
        "opacity",
    }
)
"""What of the model stays when another project is opened in the window; all else is forgotten."""

Tool = Literal["look", "select", "add", "outline"]
"""What the mouse does on the image: move the view, select and move nuclei, place nuclei, say what
belongs to a nucleus."""

OutlineWay = Literal["click", "brush", "polygon"]
"""How outlines are corrected: clicks that a model answers, or drawn by hand."""


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


@dataclass(eq=False)
class ReviewModel:
    """Everything that the panels draw."""

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
    hidden_categories: frozenset[str] = frozenset()
    selected: frozenset[UUID] = frozenset()
    tool: Tool = "look"
    outline_way: OutlineWay = "click"
    """What the tool for outlines does."""
    brush_um: float = 3.0
    """Diameter of the brush that paints outlines."""
    draft: Draft | None = None
    """The outline that is being drawn by hand; in no journal yet."""
    sure_above: float = SURE_ABOVE
    view_xy: tuple[float, float] | None = None
    """The place in the middle of the canvas, level-0 px; None where there is no canvas."""
    region: Box | None = None
    """The region the user has drawn, level-0 px."""
    outlines: bool = True
    """Whether masks are drawn, and asked for when nuclei are searched."""
    points: bool = True
    """Whether the nuclei's points are drawn."""
    opacity: float = 1.0
    """Of points and outlines."""
    save: SaveStatus = field(default_factory=SaveStatus)
    notice: Notice | None = None

    _table: tuple[FieldState | None, NucleusTable] = field(
        default_factory=lambda: (None, NucleusTable.empty()), init=False, repr=False
    )

    def forget_project(self) -> None:
        """Show what is shown before a project is open; what belongs to the window stays."""
        reset(self, keep=OF_WINDOW)

    @property
    def table(self) -> NucleusTable:
        """The nuclei of `state` as columns."""
        state, table = self._table
        if state is not self.state:
            table = table.after(self.state)
            self._table = self.state, table
        return table

    @property
    def only_selected(self) -> UUID | None:
        """The nucleus that is selected; None where none is, or several are."""
        return next(iter(self.selected)) if len(self.selected) == 1 else None

    # Snapshots of a field hold thousands of nuclei: a new object is news, without comparing them.
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"state": operator.is_}
    )
