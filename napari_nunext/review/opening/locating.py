"""Images of a project that are not where they were: what to say of them, and where to look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_nunext.images import ImageFinder
from napari_nunext.images.identified import look_for
from napari_nunext.review.fields import status_in
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.images import QueueItem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_nunext.images.identified import Whereabouts
    from napari_nunext.review.opening.opening import Opener
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import ItemStatus

FIND_AGAIN = "Choose their folder\N{HORIZONTAL ELLIPSIS}"


class Locator:
    """The part of the review that finds images again."""

    folder_wanted = Signal()
    """The user wants to say where the images of the project lie."""

    def __init__(self, session: Session, opener: Opener) -> None:
        self._session = session
        self._images = session.images
        self._opener = opener

    def notice(self, looked: Whereabouts) -> Notice | None:
        """What to say of images that were looked for; None where there is nothing to say."""
        if looked.is_whole:
            return Notice(looked.words) if looked.found else None
        problems = (*looked.different.values(), *looked.missing.values())
        return Notice(
            looked.words,
            "warning",
            FIND_AGAIN,
            self.folder_wanted.emit,
            details="\n".join(problems),
        )

    def find_images(self, folder: Path) -> None:
        """Look in a folder, and below it, for those images of the project that are not found."""
        if not self._session.has_project:
            return
        project = self._session.project
        lost = {item.sha256 for item in self._images.queue.items if item.problem and item.sha256}

        def look() -> tuple[Whereabouts, dict[str, ItemStatus]]:
            finder = ImageFinder([folder], beside=project.path.parent)
            looked = look_for([e for e in project.images() if e.sha256 in lost], finder)
            return looked, {sha256: status_in(project, sha256) for sha256 in looked.found}

        self._session.notify(Notice(f"Looking in {folder.name}\N{HORIZONTAL ELLIPSIS}"))
        self._session.background.run(look, lambda found: self._take_found(*found))

    def _take_found(self, looked: Whereabouts, statuses: Mapping[str, ItemStatus]) -> None:
        queue = self._images.queue

        def now(item: QueueItem) -> QueueItem:
            path = looked.found.get(item.sha256) if item.problem else None
            if path is None:
                return item
            return QueueItem(path, path.name, statuses[item.sha256], sha256=item.sha256)

        self._images.queue = replace(queue, items=tuple(map(now, queue.items)))
        notice = self.notice(looked)
        first = self._images.queue.neighbour(1)
        if self._images.open_field is None and looked.found and first is not None:
            self._opener.go_to(first, passing=1, notice=notice)
        elif notice is not None:
            self._session.notify(notice)
