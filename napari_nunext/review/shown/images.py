"""What the part that opens images shows: the queue, the image under review, and what is coming."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.store import ImageEntry

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


@dataclass(eq=False)
class ImagesModel:
    """What the panels show of the images."""

    queue: Queue = field(default_factory=Queue)
    open_field: OpenField | None = None
    loading: str = ""
    """Name of the image that is being opened; empty when none is."""
    # A new object is news, without comparing them.
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"open_field": operator.is_}
    )

    def forget_project(self) -> None:
        """Show no image of the project that was left."""
        reset(self)
