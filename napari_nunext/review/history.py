"""What a person did in the whole project, in order: what undo and redo reach next.

A gesture is about one image, or about the project as a whole. `FieldState` knows the gestures of
its image; this is the line through all of them, so that undo takes back what was done last wherever
it was. It begins with what the journal holds, and follows what is done since.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from napari_nunext.review.model import Notice
from napari_nunext.store import events
from napari_nunext.store.event import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    from napari_nunext.review.session import Session
    from napari_nunext.store import Event
    from napari_nunext.store.tables.journal import Gesture


class History:
    """One person's gestures, oldest first, each with its image (None: the project as a whole)."""

    def __init__(self, gestures: Iterable[Gesture] = ()) -> None:
        # Dictionaries serve as ordered sets: a group stands once, however many events it has.
        self._done: dict[UUID, str | None] = {}
        self._undone: dict[UUID, str | None] = {}
        self._taken_back: set[UUID] = set()
        self._kinds: dict[UUID, str] = {}
        """Of the event that a gesture began with."""
        self._followers: dict[UUID, tuple[UUID, ...]] = {}
        """What stood behind a gesture when a step took it out of its line."""
        for kind, image_sha256, group in gestures:
            self._take(kind, image_sha256, group)

    def take(self, event: Event) -> None:
        """Follow what was just done."""
        is_step = event.kind in ("undo", "redo")
        self._take(event.kind, event.image_sha256, event.target if is_step else event.group)

    def _take(self, kind: str, image_sha256: str | None, group: UUID) -> None:
        if kind == "undo" and group in self._done:
            self._followers[group] = _followers(self._done, group)
            self._undone[group] = self._done.pop(group)
            self._taken_back.add(group)
        elif kind == "redo" and group in self._taken_back:
            self._followers[group] = _followers(self._undone, group)
            self._done[group] = self._undone.pop(group, image_sha256)
            self._taken_back.discard(group)
        elif KINDS[kind].undoable and group not in self._taken_back:
            if group not in self._done:  # what joins a gesture later is no new one
                self._undone.clear()
            self._done[group] = image_sha256
            self._kinds.setdefault(group, kind)

    def give_back(self, step: Event) -> None:
        """Be as if an undo or a redo had not been asked for: its gesture stands where it stood."""
        group, followers = step.target, self._followers.pop(step.target, ())
        if step.kind == "undo":
            image_sha256 = self._undone.pop(group, step.image_sha256)
            self._done = _inserted(self._done, group, image_sha256, followers)
            self._taken_back.discard(group)
        else:
            image_sha256 = self._done.pop(group, step.image_sha256)
            self._undone = _inserted(self._undone, group, image_sha256, followers)
            self._taken_back.add(group)

    def steps(self, reachable: Collection[str | None]) -> int:
        """How many gestures on these images can be taken back."""
        return sum(image in reachable for image in self._done.values())

    def next_undo(self, reachable: Collection[str | None]) -> tuple[UUID, str | None] | None:
        """The last gesture on these images, and its image."""
        return _last(self._done, reachable)

    def undo_words(self, reachable: Collection[str | None]) -> str:
        """What the person did that `next_undo` names, in words; empty where it is nothing."""
        gesture = self.next_undo(reachable)
        return "" if gesture is None else KINDS[self._kinds[gesture[0]]].words

    def next_redo(self, reachable: Collection[str | None]) -> tuple[UUID, str | None] | None:
        """The gesture on these images that was undone last, and its image."""
        return _last(self._undone, reachable)


def _followers(gestures: dict[UUID, str | None], group: UUID) -> tuple[UUID, ...]:
    """What stands behind a gesture; mostly nothing: only images that cannot be read are passed."""
    behind = tuple(itertools.takewhile(lambda other: other != group, reversed(gestures)))
    return behind[::-1] if group in gestures else ()


def _inserted(
    gestures: dict[UUID, str | None],
    group: UUID,
    image_sha256: str | None,
    followers: tuple[UUID, ...],
) -> dict[UUID, str | None]:
    """The gestures with one more, before those that stood behind it."""
    behind = next((other for other in followers if other in gestures), None)
    groups = list(gestures)
    groups.insert(len(groups) if behind is None else groups.index(behind), group)
    return {each: gestures.get(each, image_sha256) for each in groups}


def _last(
    gestures: dict[UUID, str | None], reachable: Collection[str | None]
) -> tuple[UUID, str | None] | None:
    found = (item for item in reversed(gestures.items()) if item[1] in reachable)
    return next(found, None)


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
        """Take the last gesture back."""
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
