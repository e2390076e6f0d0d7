"""Opening: what comes into the queue, which image is shown, and going past those that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from psygnal import Signal

from napari_nunext.core.errors import StoreError
from napari_nunext.images import find_images
from napari_nunext.review.background import in_words
from napari_nunext.review.fields import load_field, queue_items
from napari_nunext.review.history import History
from napari_nunext.review.model import Notice, QueueItem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.review.fields import LoadedField
    from napari_nunext.review.session import Session
    from napari_nunext.store import Project

    Found: TypeAlias = tuple[Project, tuple[QueueItem, ...], Path, History]
    """The project, what is new in the queue, the image that is meant, and what was done before."""


class Opener:
    """The part of the controller that opens images.

    Parameters
    ----------
    session : Session
    open_project : callable
        Opens the review project when the first images are known; called in the background.
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
        open_project: Callable[[Sequence[Path]], Project],
        *,
        mpp: float | None,
        default_mpp: float,
    ) -> None:
        self._session = session
        self._model = session.model
        self._open_project = open_project
        self._mpp = mpp
        self._default_mpp = default_mpp
        self._opening = 0
        self._passed: Notice | None = None
        """What to say of an image that was passed, once the next one is shown."""

    def open_paths(self, paths: Sequence[Path], *, joining: bool = False) -> None:
        """Open images and folders of images; they are added to the queue.

        Parameters
        ----------
        paths : sequence of Path
        joining : bool
            Whether images that lie beside a project of their own join the open one all the same;
            without it that is asked first.
        """
        other = None if joining or not self._session.has_project else self._own_project(paths)
        if other is not None:
            name = self._session.project.path
            self._session.notify(
                Notice(
                    f"{other} is another project, with a review of these images. Nothing was "
                    f"opened. Close this window and open {other.parent.name} to go on there, or "
                    f"review them anew in {name}.",
                    "warning",
                    "Review them anew here",
                    lambda: self.open_paths(paths, joining=True),
                )
            )
            return
        queue = self._model.queue

        def look() -> Found:
            found = find_images(paths)
            new = [p for p in found if p not in {i.path for i in queue.items}]
            project = (
                self._session.project if self._session.has_project else self._open_project(new)
            )
            return project, queue_items(project, new), found[0], History(project.gestures())

        self._model.loading = paths[0].name if paths else ""
        self._session.background.run(look, self._take_queue, self._not_opened)

    def _own_project(self, paths: Sequence[Path]) -> Path | None:
        """A project, other than the open one, that lies beside these images."""
        for folder in {path if path.is_dir() else path.parent for path in paths}:
            for found in sorted(folder.glob("*.nunext")):
                if found.resolve() != self._session.project.path.resolve():
                    return found
        return None

    def _take_queue(self, found: Found) -> None:
        project, new, first, history = found
        if not self._session.has_project:
            self._session.set_project(project)
            self._session.history = history
            self._session.soundness.look()
        queue = self._model.queue
        self._model.loading = ""
        self._model.queue = replace(queue, items=(*queue.items, *new))
        if new:
            self.go_to(len(queue.items), passing=1)
        else:  # all are in the queue: the first one is meant
            self.go_to([item.path for item in queue.items].index(first))

    def _not_opened(self, error: BaseException) -> None:
        self._model.loading = ""
        self._session.notify(in_words(error))

    def go_to(self, index: int, *, passing: int = 0) -> None:
        """Open an image of the queue; the latest wish counts.

        Parameters
        ----------
        index : int
            Position in the queue.
        passing : {0, 1, -1}
            Which way to go on from an image that cannot be read; 0 to stay.
        """
        path = self._model.queue.items[index].path
        self._opening += 1
        wish = self._opening
        known = self._session.known_field(path)
        if known is not None:
            self._show(wish, index, known)
            return
        self._model.loading = path.name
        session = self._session
        session.background.run(
            lambda: load_field(
                session.project,
                session.writer,
                path,
                mpp=self._mpp,
                default_mpp=self._default_mpp,
            ),
            lambda loaded: self._show(wish, index, loaded),
            lambda error: self._unreadable(wish, index, error, passing),
        )

    def step(self, step: int) -> None:
        """Open a neighbour of the open image, if there is one: 1 for the next, -1 the previous."""
        wanted = self._model.queue.neighbour(step)
        if wanted is not None:
            self.go_to(wanted, passing=step)

    def _show(self, wish: int, index: int, loaded: LoadedField) -> None:
        if wish != self._opening:
            self._session.keep_field(self._model.queue.items[index].path, loaded)
            self.read.emit()
            return
        self._model.loading = ""
        passed, self._passed = self._passed, None
        notes = " ".join(loaded.field.notes)
        untold = self._session.soundness.untold()
        self._model.notice = untold or passed or (Notice(notes) if notes else None)
        self._model.queue = replace(self._model.queue, index=index)
        self._model.region = None
        self._session.take_field(self._model.queue.items[index].path, loaded)
        self.shown.emit()
        self.read.emit()

    def go_to_image(self, sha256: str) -> None:
        """Open the image of the queue with this content."""
        self.go_to([item.sha256 for item in self._model.queue.items].index(sha256))

    def _unreadable(self, wish: int, index: int, error: BaseException, passing: int) -> None:
        """Mark an image that cannot be read, and go past it, so that it blocks no other."""
        notice = in_words(error)
        is_bad = not isinstance(error, StoreError)
        if is_bad:
            queue = self._model.queue
            bad = replace(queue.items[index], status="unreadable", problem=notice.words)
            items = (*queue.items[:index], bad, *queue.items[index + 1 :])
            self._model.queue = replace(queue, items=items)
        is_wanted = wish == self._opening
        if is_wanted:
            self._model.loading = ""
            self._passed = None
            self._session.notify(notice)
        self.not_read.emit(self._model.queue.items[index].sha256, notice.words)
        if not is_wanted:
            return
        onwards = self._model.queue.neighbour(passing, of=index) if is_bad and passing else None
        if onwards is not None:
            self._passed = replace(notice, words=f"Passed: {notice.words}", level="warning")
            self.go_to(onwards, passing=passing)
