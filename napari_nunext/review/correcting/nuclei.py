"""What a person does to the nuclei of the open image, and says of them and of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from psygnal import Signal

from napari_nunext.review.correcting import editing
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from napari_nunext.review.session import Session
    from napari_nunext.store import Event, FieldState


class Corrector:
    """The part of the review that corrects nuclei; each call is one gesture."""

    corrected = Signal(tuple)
    """A gesture was made: its events."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._review = session.model
        self._images = session.images

    def _commit(self, make: Callable[[FieldState, str], Iterable[Event]]) -> None:
        field, state = self._images.open_field, self._review.state
        if field is not None and state is not None:
            gesture = tuple(make(state, field.entry.sha256))
            self._session.commit(field.entry.sha256, gesture)
            self.corrected.emit(gesture)

    def add(self, x_px: float, y_px: float) -> UUID:
        """Place a nucleus of the current category; returns its identity."""
        uid, category = uuid4(), self._review.current_category
        self._commit(lambda _, sha256: [events.add(sha256, x_px, y_px, category, uid=uid)])
        return uid

    def move(self, places_xy: Mapping[UUID, tuple[float, float]]) -> None:
        """Move nuclei to places, level-0 px."""
        self._commit(lambda state, sha256: editing.moved(state, sha256, places_xy))

    def delete(self, uids: Iterable[UUID]) -> None:
        """Delete nuclei."""
        self._commit(lambda state, sha256: editing.deleted(state, sha256, uids))

    def relabel(self, uids: Iterable[UUID], category: str) -> None:
        """Give nuclei a category; to give one that they have says that it is right."""
        self._commit(lambda state, sha256: editing.relabelled(state, sha256, uids, category))

    def flag(self) -> None:
        """Mark the open image for a second look, or take the mark away."""
        self._commit(lambda state, sha256: [events.flag_field(sha256, not state.flagged)])

    def comment(self, text: str, uid: UUID | None = None) -> None:
        """Say something about the open image, or about a nucleus of it."""
        if text.strip():
            self._commit(lambda _, sha256: [events.comment(sha256, text.strip(), uid)])
