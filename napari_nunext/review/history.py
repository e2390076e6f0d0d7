"""What a person did in the whole project, in order: what undo and redo reach next.

A gesture is about one image, or about the project as a whole. `FieldState` knows the gestures of
its image; this is the line through all of them, so that undo takes back what was done last wherever
it was. It begins with what the journal holds, and follows what is done since.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from napari_nunext.store.event import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

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
            elif self._done[group] is None and image_sha256 is not None:
                # What was done to nuclei says more than a category that came with it.
                self._kinds[group] = kind
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
