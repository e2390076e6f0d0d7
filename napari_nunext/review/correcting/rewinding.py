"""Undo and redo, in whichever image they have to go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.model import Notice
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from napari_nunext.review.session import Session
    from napari_nunext.store import Event


class Rewinder:
    """Takes gestures back, and brings them again, where they were made.

    Parameters
    ----------
    session : Session
    open_image : callable
        Opens the image with this hash; `resume` or `not_read` is to be called once that is done.
    """

    def __init__(self, session: Session, open_image: Callable[[str], None]) -> None:
        self._session = session
        self._open_image = open_image
        self._waiting: list[Event] = []
        """Undo and redo events in the order they were asked for, until their image is there."""
        self._is_at_work = False
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._waiting.clear()

    def undo(self) -> None:
        """Take the last gesture back, and what is said of it."""
        notice = self._session.model.notice
        if notice is not None and notice.of_last_gesture:
            self._session.model.notice = None
        self._step(events.undo, self._session.history.next_undo(self._session.reachable()))

    def redo(self) -> None:
        """Bring the last undone gesture again."""
        self._step(events.redo, self._session.history.next_redo(self._session.reachable()))

    def _step(
        self, make: Callable[[str | None, UUID], Event], gesture: tuple[UUID, str | None] | None
    ) -> None:
        if gesture is None:
            return
        group, image_sha256 = gesture
        event = make(image_sha256, group)
        self._session.history.take(event)  # at once: a second undo means the gesture before
        self._waiting.append(event)
        self.resume()

    def resume(self) -> None:
        """Do what waits, as far as its images are there."""
        if self._is_at_work:
            return
        self._is_at_work = True
        try:
            while self._waiting and self._is_ready(self._waiting[0]):
                self._do(self._waiting.pop(0))
        finally:
            self._is_at_work = False
        self._session.show_history()

    def not_read(self, image_sha256: str, problem: str) -> None:
        """Forget what waits where it waits for this image, which cannot be opened, and say so."""
        if self._waiting and self._waiting[0].image_sha256 == image_sha256:
            self._give_up(problem)

    def _give_up(self, problem: str) -> None:
        first = self._waiting[0]
        for event in reversed(self._waiting):
            self._session.history.give_back(event)
        self._waiting.clear()
        self._session.show_history()
        name = "Undo" if first.kind == "undo" else "Redo"
        words = (
            f"{name} has to go to another image for its next step. {problem} Nothing was changed."
        )
        if first.image_sha256 not in self._session.reachable():
            words += f" {name} again passes that image."
        self._session.notify(Notice(words, "warning"))

    def _is_ready(self, event: Event) -> bool:
        """Whether the image of a step is open; asks for it where it is not."""
        sha256 = event.image_sha256
        if sha256 is None or self._session.is_open(sha256):
            return True
        if sha256 in self._session.reachable():
            self._open_image(sha256)
        if self._waiting and sha256 not in self._session.reachable():
            entry = self._session.project.image(sha256)
            self._give_up(f"{entry.name} is no longer the image that was reviewed.")
        return self._session.is_known(sha256)

    def _do(self, event: Event) -> None:
        if event.image_sha256 is None:
            self._session.commit_to_project([event])
        else:
            self._session.commit(event.image_sha256, [event])
