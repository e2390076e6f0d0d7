"""Accepting and reopening: what of the open image is meant, and whether it may be accepted now.

What a person accepts is what they see. So a region is not accepted while a search still changes it;
and where part of it was neither searched nor touched, or nothing is marked in it at all, accepting
asks once, and does nothing before it is told to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.image.source import MOST_PIXELS
from napari_nunext.review.correcting.coverage import unseen_parts
from napari_nunext.review.model import Notice
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.store import FieldState

CHANGED_WORDS = "Changed since it was accepted: look again, then accept."
FLAGGED_WORDS = "Flagged: neither done nor exported until the flag is taken away."
PARTLY_WORDS = "A part of this field is accepted."
LARGE_WORDS = (
    "It is too large to be training data as a whole. To train on it, draw a region and accept that."
)
SEARCHING_WORDS = "The search of this field is still running. Accept once it has ended."


@dataclass(frozen=True, slots=True)
class Scope:
    """What of an image is accepted at once."""

    region: Box
    is_field: bool
    """Whether it is all of the image."""

    @property
    def words(self) -> str:
        """What to call it."""
        return "field" if self.is_field else "drawn region"


@dataclass(frozen=True, slots=True)
class Decision:
    """What can be decided about the open image now, in words for the panel."""

    label: str = "Accept field"
    """What the button does."""
    tip: str = ""
    note: str = ""
    """Why it is not done although it was accepted; empty where there is nothing to say."""
    reopens: bool = False
    """Whether the button takes the acceptance back."""
    can_reopen: bool = False
    """Whether anything in the image was accepted."""


def scope_of(state: FieldState, field: Box, drawn: Box | None) -> Scope:
    """The drawn region, where one is drawn and nothing in it is left unseen; else the field."""
    region = field if drawn is None else drawn.clipped_to(field)
    if region == field or not (region.width and region.height) or unseen_parts(state, region):
        return Scope(field, is_field=True)
    return Scope(region, is_field=False)


def is_accepted(state: FieldState, region: Box) -> bool:
    """Whether all of a region is accepted as it stands."""
    return any(box.covers(region) for box in state.complete)


def doubt(state: FieldState, scope: Scope) -> str:
    """What speaks against accepting; empty where nothing does."""
    is_large = scope.region.width * scope.region.height > MOST_PIXELS
    return " ".join(filter(None, (_doubt(state, scope), LARGE_WORDS if is_large else "")))


def _doubt(state: FieldState, scope: Scope) -> str:
    what, unseen = scope.words, unseen_parts(state, scope.region)
    nothing = not state.seen_in(scope.region)["count"]
    if not unseen:
        return f"There are no nuclei in this {what}. Is that so?" if nothing else ""
    if nothing:
        return f"No nuclei are marked in this {what}, and it was not searched to its end."
    return (
        f"Part of this {what} was neither searched to its end nor corrected by hand: "
        "nuclei may be missing there."
    )


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a person was asked about."""

    image_sha256: str
    scope: Scope
    doubt: str


class Decider:
    """The part of the review that accepts and reopens.

    Parameters
    ----------
    session : Session
    view : ViewModel
        Knows which region is drawn.
    finder : Finder
        Knows which image is being searched.
    go_on : callable
        Opens the next image.
    """

    def __init__(
        self, session: Session, view: ViewModel, finder: Finder, go_on: Callable[[], None]
    ) -> None:
        self._session = session
        self._review = session.model
        self._view = view
        self._images = session.images
        self._finder = finder
        self._go_on = go_on
        self._settled: set[_Situation] = set()
        """What was asked and answered: it is not asked again."""
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._settled.clear()

    def decision(self) -> Decision:
        """What can be decided about the open image now."""
        field, state = self._images.open_field, self._review.state
        if field is None or state is None:
            return Decision()
        scope = scope_of(state, field.box, self._view.region)
        accepted, can_reopen = is_accepted(state, scope.region), bool(state.acceptances)
        note = ""
        if state.changed:
            note = CHANGED_WORDS
        elif state.flagged and can_reopen:
            note = FLAGGED_WORDS
        elif can_reopen and not accepted:
            note = PARTLY_WORDS
        if self._finder.searching == field.entry.sha256:
            return Decision("Accept after search", SEARCHING_WORDS, note, can_reopen=can_reopen)
        if accepted:
            tip = f"This {scope.words} is accepted as it stands. Click to take that back."
            return Decision("\N{CHECK MARK} Accepted, reopen", tip, note, True, can_reopen)
        again = " again" if state.changed else ""
        tip = f"Every nucleus of this {scope.words} is marked; go on"
        label = f"Accept {'field' if scope.is_field else 'region'}{again}"
        return Decision(label, tip, note, can_reopen=can_reopen)

    def accept(self) -> None:
        """Say that every nucleus in view is marked, and go on to the next image."""
        field, state = self._images.open_field, self._review.state
        if field is None or state is None:
            return
        sha256 = field.entry.sha256
        if self._finder.searching == sha256:
            stop = self._finder.stop
            self._session.notify(Notice(SEARCHING_WORDS, "warning", "Stop the search", stop))
            return
        scope = scope_of(state, field.box, self._view.region)
        if not self._is_mine(state, scope.region):
            situation = _Situation(sha256, scope, doubt(state, scope))
            if situation.doubt and situation not in self._settled:
                self._ask(situation)
                return
            accepted = events.complete_region(sha256, scope.region, state.seen_in(scope.region))
            self._session.commit(sha256, [accepted])
        self._go_on()

    def _is_mine(self, state: FieldState, region: Box) -> bool:
        """Whether this person has accepted just this region: to say it twice says no more."""
        annotator = self._session.project.annotator
        return any(
            a.region == region and a.annotator == annotator and not a.changed
            for a in state.acceptances
        )

    def _ask(self, situation: _Situation) -> None:
        """Ask whether it is meant; not modal, so that one can look and correct instead."""

        def go_ahead() -> None:
            field = self._images.open_field
            if field is not None and field.entry.sha256 == situation.image_sha256:
                self._settled.add(situation)
                self.accept()  # asks again where it is no longer as it was

        self._session.notify(Notice(situation.doubt, "warning", "Accept all the same", go_ahead))

    def reopen(self) -> None:
        """Take back every acceptance in the open image."""
        field = self._images.open_field
        if field is not None:
            sha256 = field.entry.sha256
            self._session.commit(sha256, [events.reopen_region(sha256, field.box)])
