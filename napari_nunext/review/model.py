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
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.nuclei import Category
    from napari_nunext.review.drafts import Draft
    from napari_nunext.store import FieldState, ImageEntry
    from napari_nunext.store.imports.outside import Role

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

ItemStatus = Literal["waiting", "open", "done", "changed", "flagged", "unreadable"]
"""Not looked at yet, not accepted, accepted as it stands, accepted and changed since, marked for a
second look, or not to be read (`napari_nunext.review.fields.status_of`)."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An image in the queue."""

    path: Path
    name: str
    status: ItemStatus = "waiting"
    problem: str = ""
    """Why it cannot be read; empty when it can."""
    sha256: str = ""
    """Hash of its content; empty where the project does not know it yet."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The images to review, in order, and the one that is open."""

    items: tuple[QueueItem, ...] = ()
    index: int | None = None
    """Position of the open image; None before one is open."""

    @property
    def done(self) -> int:
        """How many images are accepted as they stand: neither changed since nor flagged."""
        return sum(item.status == "done" for item in self.items)

    def neighbour(self, step: int, *, of: int | None = None) -> int | None:
        """Position of the nearest image that can be read, as far as is known.

        Parameters
        ----------
        step : {1, -1}
            Onwards or back.
        of : int, optional
            From where; the open image by default.
        """
        start = self.index if of is None else of
        wanted = (-1 if start is None else start) + step
        while 0 <= wanted < len(self.items):
            if self.items[wanted].status != "unreadable":
                return wanted
            wanted += step
        return None


@dataclass(frozen=True, slots=True, eq=False)
class OpenField:
    """The image under review."""

    entry: ImageEntry
    source: ImageSource

    @property
    def box(self) -> Box:
        """All of it, level-0 px."""
        return self.source.box


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


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What importing a file would do to the open image, and how to answer."""

    image_sha256: str
    title: str
    """What the file holds; one or two sentences."""
    effects: Mapping[Role, str]
    """What taking it as each does; a phrase."""
    changing: frozenset[Role]
    """As what it changes anything."""
    usual: Role
    """As what such a file is mostly meant."""
    absent: int
    """Nuclei of the image that a file which knows it does not hold."""
    choose: Callable[[Role, bool], None]
    """Do it, and whether the absent ones were deleted there."""
    cancel: Callable[[], None]


@dataclass(eq=False)
class ReviewModel:
    """Everything that the panels draw."""

    project: Path | None = None
    """The file that the review is kept in; None before one is open."""
    queue: Queue = field(default_factory=Queue)
    open_field: OpenField | None = None
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
    proposal: Proposal | None = None
    """What waits for an answer of the user; None where nothing does."""
    loading: str = ""
    """Name of the image that is being opened; empty when none is."""

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
        equality_operators={"state": operator.is_, "open_field": operator.is_}
    )
