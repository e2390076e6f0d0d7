"""Opening: what comes into the queue, which image is shown, and going past those that cannot be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from psygnal import Signal

from napari_nunext.core.errors import StoreError
from napari_nunext.images import find_images
from napari_nunext.review.background import in_words
from napari_nunext.review.fields import FieldReader, queue_items
from napari_nunext.review.history import History
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.images import Queue, QueueItem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.review.fields import LoadedField
    from napari_nunext.review.opening.projects import Arrival
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.review.soundness import Soundness
    from napari_nunext.store import Project

    Found: TypeAlias = tuple[Project, tuple[QueueItem, ...], Path, History]
    """The project, what is new in the queue, the image that is meant, and what was done before."""


class Opener:
    """The part of the review that opens images.

    Parameters
    ----------
    session : Session
    view : ViewModel
        Forgets what is of one image when another is shown.
    soundness : Soundness
        Looks through a project that was opened.
    open_project : callable
        Opens the project of images, when the first are known; called in the background.
    mpp : float or None
        Scale that the user gave for this session; it prevails over the files'.
    default_mpp : float
        Scale of images that have none, marked as assumed.
    """

    shown = Signal()
    """An image is shown."""
    read = Signal()
    """An image was read, whether it is still the one that is meant or not."""
    not_read = Signal(str, str)
    """An image could not be read: its hash, as far as it is known, and why."""

    def __init__(
        self,
        session: Session,
        view: ViewModel,
        soundness: Soundness,
        open_project: Callable[[Sequence[Path]], Project],
        *,
        mpp: float | None,
        default_mpp: float,
    ) -> None:
        self._session = session
        self._soundness = soundness
        self._review = session.model
        self._view = view
        self.model = session.images
        """What the panels show of it."""
        self._open_project = open_project
        self._mpp = mpp
        self._mpp_for: Path | None = None
        """The project whose images that scale was meant for: the first that was opened."""
        self._default_mpp = default_mpp
        self._opening = 0
        self._reading: int | None = None
        """Where in the queue the image stands that is being read to be shown."""
        self._passed: Notice | None = None
        """What to say of an image that was passed, once the next one is shown."""
        session.left.connect(self._forget)

    def _forget(self) -> None:
        """Show nothing that is still being read."""
        self._opening += 1
        self._reading = None
        self._passed = None

    def add(self, paths: Sequence[Path]) -> None:
        """Put images and folders of images into the queue, and open the first.

        In the project that is open, or in their own where none is.
        """
        queue = self.model.queue

        def look() -> Found:
            found = find_images(paths)
            new = [p for p in found if p not in {i.path for i in queue.items}]
            project = (
                self._session.project if self._session.has_project else self._open_project(new)
            )
            return project, queue_items(project, new), found[0], History(project.gestures())

        self.model.loading = paths[0].name if paths else ""
        self._session.background.run(look, self._take_queue, self._not_opened)

    def enter(self, arrived: Arrival, notice: Notice | None) -> None:
        """Show a project that was opened: its first image, and then what is to be said."""
        self.model.loading = ""
        self._take_project(arrived.project, arrived.history)
        self.model.queue = Queue(arrived.items)
        if arrived.first is not None:
            self.go_to(arrived.first, passing=1, notice=notice)
        else:
            self._review.notice = notice

    def _take_project(self, project: Project, history: History) -> None:
        self._mpp_for = self._mpp_for or project.path
        self._session.set_project(project)
        self._session.history = history
        self._soundness.look()

    def _take_queue(self, found: Found) -> None:
        project, new, first, history = found
        if not self._session.has_project:
            self._take_project(project, history)
        queue = self.model.queue
        self.model.loading = ""
        self.model.queue = replace(queue, items=(*queue.items, *new))
        if new:
            self.go_to(len(queue.items), passing=1)
        else:  # all are in the queue: the first one is meant
            self.go_to([item.path for item in queue.items].index(first))

    def _not_opened(self, error: BaseException) -> None:
        self.model.loading = ""
        self._session.notify(in_words(error))

    def go_to(self, index: int, *, passing: int = 0, notice: Notice | None = None) -> None:
        """Open an image of the queue; the latest wish counts.

        Parameters
        ----------
        index : int
            Position in the queue.
        passing : {0, 1, -1}
            Which way to go on from an image that cannot be read; 0 to stay.
        notice : Notice, optional
            What to say once it is shown.
        """
        if notice is not None:
            self._passed = notice
        path = self.model.queue.items[index].path
        self._opening += 1
        wish = self._opening
        known = self._session.known_field(path)
        if known is not None:
            self._show(wish, index, known)
            return
        self.model.loading = path.name
        self._reading = index
        session = self._session
        session.background.run(
            partial(self.reader().load, path),
            lambda loaded: self._show(wish, index, loaded),
            lambda error: self._unreadable(wish, index, error, passing),
        )

    def reader(self) -> FieldReader:
        """What reads images of the project that is open."""
        project = self._session.project
        mpp = self._mpp if project.path == self._mpp_for else None
        return FieldReader(project, self._session.writer, mpp, self._default_mpp)

    def next(self) -> None:
        """Open the next image, if there is one."""
        self._step(1)

    def previous(self) -> None:
        """Open the previous image, if there is one."""
        self._step(-1)

    def _step(self, step: int) -> None:
        wanted = self.model.queue.neighbour(step)
        if wanted is not None:
            self.go_to(wanted, passing=step)

    def _show(self, wish: int, index: int, loaded: LoadedField) -> None:
        if wish != self._opening:
            self._session.keep_field(self.model.queue.items[index].path, loaded)
            self.read.emit()
            return
        self.model.loading = ""
        self._reading = None
        passed, self._passed = self._passed, None
        notes = " ".join(loaded.field.source.notes)
        untold = self._soundness.untold() or self._other_pixels(index, loaded)
        self._review.notice = untold or passed or (Notice(notes) if notes else None)
        self.model.queue = replace(self.model.queue, index=index)
        self._view.forget_image()
        self._session.take_field(self.model.queue.items[index].path, loaded)
        self.shown.emit()
        self.read.emit()

    def _other_pixels(self, index: int, loaded: LoadedField) -> Notice | None:
        """What to say where the file holds another image than the one that was reviewed there."""
        item = self.model.queue.items[index]
        if item.sha256 in ("", loaded.field.entry.sha256):
            return None
        return Notice(
            f"{item.name} holds other pixels than those that were reviewed: it was changed, "
            "overwritten, or swapped with another. What was said of those is kept, and not shown "
            "here. Put the original image back, or review these pixels anew.",
            "warning",
        )

    def go_to_image(self, sha256: str) -> None:
        """Open the image of the queue with this content, unless it is being read already."""
        index = [item.sha256 for item in self.model.queue.items].index(sha256)
        if index != self._reading:
            self.go_to(index)

    def _unreadable(self, wish: int, index: int, error: BaseException, passing: int) -> None:
        """Mark an image that cannot be read, and go past it, so that it blocks no other."""
        notice = in_words(error)
        is_bad = not isinstance(error, StoreError)
        if is_bad:
            self._session.mark_unreadable(self.model.queue.items[index].path, notice.words)
        is_wanted = wish == self._opening
        if is_wanted:
            self.model.loading = ""
            self._reading = None
            self._passed = None
            self._session.notify(notice)
        self.not_read.emit(self.model.queue.items[index].sha256, notice.words)
        if not is_wanted:
            return
        onwards = self.model.queue.neighbour(passing, of=index) if is_bad and passing else None
        if onwards is not None:
            self._passed = replace(notice, words=f"Passed: {notice.words}", level="warning")
            self.go_to(onwards, passing=passing)
