"""What was asked for when all images of the list are searched, and what is left of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from napari_nunext.core.sentences import counted
from napari_nunext.review.batch.survey import Survey
from napari_nunext.review.finding.search import Wanted
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.all_images import AllImagesStatus

if TYPE_CHECKING:
    from collections import deque
    from pathlib import Path

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.shapes.area import Area
    from napari_nunext.review.batch.asked import Asked
    from napari_nunext.review.batch.tally import Tally
    from napari_nunext.review.fields import FieldReader
    from napari_nunext.review.shown.all_images import Phase
    from napari_nunext.review.shown.find import RunStatus
    from napari_nunext.review.shown.images import Queue
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store import Run


def to_search(queue: Queue) -> list[Path]:
    """The images of a list that nobody has accepted, the open one first."""
    items = list(queue.items)
    if queue.index is not None:
        items.insert(0, items.pop(queue.index))
    return [item.path for item in items if item.status != "done"]


class How(NamedTuple):
    """How the images are searched."""

    masks: bool
    """Whether outlines are wanted too."""
    tissue: bool
    """Whether windows of bare glass are left out."""
    pen: bool
    """Whether marks of a pen count as glass."""
    only: tuple[str, ...] = ()
    """Categories that are searched for alone; everything where there are none."""


@dataclass(eq=False, slots=True)
class AllJob:
    """The images that are left, and how far the present one is. For the main thread."""

    model: ModelInfo
    how: How
    reader: FieldReader
    paths: deque[Path]
    """Of images that are left; the first is under way."""
    tally: Tally
    confirmed: set[Path] = field(default_factory=set)
    """Images that are searched although their scale is in doubt."""
    asked: Asked | None = None
    """How the server searches; None before it was asked."""
    seen: Survey = field(default_factory=Survey)
    stop: threading.Event = field(default_factory=threading.Event)
    to_go_on: bool = True
    """Whether it is paused once it has stopped."""
    tries: int = 0
    """So often the present image was tried without a further window."""
    windows_done: int = 0
    """Of the present image, when it was last begun."""
    under_way: Path | None = None
    """The image that is being searched."""
    is_begun: bool = False
    """Whether the windows of that one are counted."""
    own: set[Path] = field(default_factory=set)
    """Images that were read for this alone, and that nobody has looked at."""
    failed: dict[Path, str] = field(default_factory=dict)
    accepted: int = 0
    """How many are accepted, and stay as they are."""

    def pass_done(self, queue: Queue) -> None:
        """Go past images that were searched before, or accepted since this began."""
        accepted = {item.path for item in queue.items if item.status == "done"}
        while self.paths and self.paths[0] in self.seen.searched | accepted:
            path = self.paths.popleft()
            is_accepted = path in accepted
            self.accepted += is_accepted
            self.tally.end(path, known=not is_accepted, repeated=is_accepted, name=path.name)

    def wanted(
        self, region: Box, area: Area, near_xy: tuple[float, float] | None, run: Run | None
    ) -> Wanted:
        """What is asked for, of an image; a run that has begun to do so is gone on with."""
        return Wanted(
            region=region,
            model_id=self.model.id,
            masks=self.how.masks,
            tissue=self.how.tissue,
            pen=self.how.pen,
            only=self.how.only,
            area=area,
            near_xy=near_xy,
            run=run,
            priority="batch",
        )

    def follow(self, run: RunStatus) -> bool:
        """Count the windows of the present image; False where there is nothing to count."""
        path = self.under_way
        if path is None or not run.windows:
            return False
        # A window counts as done as far as its outlines are: they take the more time of the two.
        done = round((run.progress or 0.0) * run.windows)
        if not self.is_begun:
            self.is_begun, self.windows_done = True, run.windows_done
            self.tally.begin(path, path.name, done, run.windows)
        self.tally.follow(path, done)
        return True

    def leave(
        self,
        path: Path,
        *,
        searched: bool = False,
        known: bool = False,
        failed: bool = False,
        windows_failed: int = 0,
    ) -> None:
        """Nothing more comes of the present image; how it ended is as `Tally.end` has it."""
        self.paths.popleft()
        self.tally.end(
            path,
            searched=searched,
            known=known,
            failed=failed,
            windows_failed=windows_failed,
            name=path.name,
        )
        self.tries = self.windows_done = 0

    def status(self, phase: Phase, waiting: str = "") -> AllImagesStatus:
        """How far it is, as panels show it."""
        progress = self.tally.progress
        return AllImagesStatus(
            phase,
            progress.images,
            progress.ended,
            progress.failed,
            progress.seconds_left,
            waiting,
        )

    def outcome(self) -> Notice:
        """What to say in the end."""
        progress = self.tally.progress
        words = f"{counted(progress.searched, 'image')} searched"
        if progress.known:
            words += f", {progress.known} had been searched before"
        if self.accepted:
            words += f", {self.accepted} accepted and left as they are"
        if not self.failed:
            return Notice(f"{words}.")
        failed = counted(len(self.failed), "image")
        return Notice(
            f"{words}. {failed} could not be searched, or only in parts.",
            "warning",
            details="\n".join(self.failed.values()),
        )
