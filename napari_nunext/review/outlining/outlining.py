"""Outlines that follow what people do: of nuclei they place or move, and where they click.

The outline of a nucleus that was placed or moved joins that gesture, so that one undo takes back
both; a click that corrects an outline is a gesture of its own. Outlines are drawn in the background
and come after the point; whatever was done in between stays as it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ServerError, ServerUnavailableError
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.outlining.hand import CHOOSE_FIRST
from napari_nunext.serving import protocol
from napari_nunext.store import events
from napari_nunext.store.gestures import groups_taken_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.outlining.hand import Hand
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.store import Event

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placing:
    """A nucleus that a gesture has put somewhere."""

    image_sha256: str
    uid: UUID
    point_xy: tuple[float, float]
    gesture: UUID

    @classmethod
    def of(cls, event: Event) -> Placing | None:
        """What an event places; None where it places nothing."""
        if event.kind not in ("add", "move") or event.uid is None or event.image_sha256 is None:
            return None
        point_xy = (event.payload["x_px"], event.payload["y_px"])
        return cls(event.image_sha256, event.uid, point_xy, event.group)


@dataclass(frozen=True, slots=True)
class Refined:
    """An outline and the clicks that made it."""

    mask: Mask
    clicks: tuple[protocol.PromptPoint, ...]


class Outliner:
    """The part of the review that has outlines drawn.

    Parameters
    ----------
    session : Session
    server : ModelServer
        Draws with its default segmenter.
    hand : Hand
        Knows which nucleus a click means.
    find : FindModel
        Knows whether the server is there.
    view : ViewModel
        Knows whether outlines are wanted, and which nucleus is selected or drawn.
    """

    def __init__(
        self, session: Session, server: ModelServer, hand: Hand, find: FindModel, view: ViewModel
    ) -> None:
        self._session = session
        self._review = session.model
        self._images = session.images
        self._server = server
        self._hand = hand
        self._find = find
        self._view = view
        self._waiting: dict[UUID, Placing] = {}
        """What has yet to be outlined."""
        self._refined: dict[UUID, list[Refined]] = {}
        """What clicks have made of a nucleus, oldest first: after an undo an earlier one counts."""
        self._drawing: dict[UUID, tuple[protocol.PromptPoint, ...]] = {}
        """The clicks on a nucleus whose outline is being drawn: a further click joins them."""
        session.left.connect(self._forget)
        find.events.server.connect(self.catch_up)
        self._view.events.outlines.connect(self.catch_up)
        self._view.events.draft.connect(self._after_draft)

    def _forget(self) -> None:
        self._waiting.clear()
        self._refined.clear()
        self._drawing.clear()

    def follow(self, gesture: Iterable[Event]) -> None:
        """Outline the nuclei that a gesture has placed, once outlines are on and a server is there.

        A nucleus that was moved within its outline keeps it.
        """
        placings = filter(None, map(Placing.of, gesture))
        self._waiting |= {placing.uid: placing for placing in placings}
        self.catch_up()

    def catch_up(self) -> None:
        """Ask for those outlines of the open image that are still to be drawn."""
        field = self._open_field()
        if field is None or not self._view.outlines:
            return
        here = [
            p
            for p in self._waiting.values()
            if p.image_sha256 == field.entry.sha256 and not self._is_being_drawn(p.uid)
        ]
        for placing in here:
            del self._waiting[placing.uid]
        asked = [placing for placing in here if self._lacks_outline(placing)]
        if not asked:
            return
        clicks = [(protocol.PromptPoint(x=x, y=y),) for x, y in (p.point_xy for p in asked)]
        self._session.background.run(
            lambda: self._draw(field, clicks),
            lambda masks: self._take(asked, masks),
            lambda error: self._put_off(asked, error),
        )

    def click(self, x_px: float, y_px: float, *, inside: bool) -> None:
        """Say of a place that it belongs to the selected nucleus, or that it does not.

        Where another nucleus lies there, that one is selected instead: it is meant next. The clicks
        on one nucleus add up, and its own point is always inside.
        """
        if inside and self._hand.selects(x_px, y_px):
            return
        chosen = self._view.only_selected
        if chosen is not None:
            self._refine(chosen, x_px, y_px, inside=inside)
        else:
            self._session.notify(Notice(CHOOSE_FIRST))

    def _refine(self, uid: UUID, x_px: float, y_px: float, *, inside: bool) -> None:
        """Draw a nucleus of the open image anew."""
        field, nucleus = self._open_field(), self._nucleus(uid)
        if nucleus is None:
            return
        if field is None:
            self._session.notify(Notice("Outlines are drawn by the model server: it is not ready."))
            return
        sha256 = field.entry.sha256
        click = protocol.PromptPoint(x=x_px, y=y_px, positive=inside)
        before = self._clicks_behind(nucleus)
        clicks = self._drawing[uid] = (*self._drawing.get(uid, before), click)
        self._session.background.run(
            lambda: self._draw(field, [clicks], nucleus.mask),
            lambda masks: self._take_refined(sha256, nucleus, before, clicks, masks[0]),
            lambda error: self._not_refined(uid, error),
        )

    def _clicks_behind(self, nucleus: Nucleus) -> tuple[protocol.PromptPoint, ...]:
        """Its own point, and the clicks that have made its outline what it is."""
        refined = reversed(self._refined.get(nucleus.uid, []))
        known = next((r.clicks for r in refined if r.mask == nucleus.mask), ())
        return (protocol.PromptPoint(x=nucleus.x_px, y=nucleus.y_px), *known[1:])

    def _open_field(self) -> OpenField | None:
        """The open image, where a server is there to draw on it."""
        return self._images.open_field if self._find.server.phase == "ready" else None

    def _nucleus(self, uid: UUID) -> Nucleus | None:
        reviewed = None if self._review.state is None else self._review.state.nuclei.get(uid)
        return None if reviewed is None else reviewed.nucleus

    def _draw(
        self,
        field: OpenField,
        clicks: Sequence[tuple[protocol.PromptPoint, ...]],
        outline: Mask | None = None,
    ) -> list[Mask | None]:
        """A mask for the clicks on each nucleus, or None where no pixel is left.

        The outline is what the clicks correct.
        """
        told = None if outline is None else protocol.Outline(**outline.to_json())
        client, entry = self._server.client(), field.entry
        client.put_image(field.source)
        reply = client.segment(
            protocol.SegmentRequest(
                image=entry.sha256,
                mpp=entry.mpp,
                prompts=[
                    protocol.MaskPrompt(points=list(points), outline=told) for points in clicks
                ],
            )
        )
        drawn = {mask.index: mask.to_mask() for mask in reply.masks}
        return [drawn.get(index) for index in range(len(clicks))]

    # What was placed

    def _lacks_outline(self, placing: Placing) -> bool:
        """Whether a nucleus still stands where it was placed, without an outline.

        One whose outline a person has erased since is meant to have none.
        """
        state = self._session.state_of(placing.image_sha256)
        reviewed = state.nuclei.get(placing.uid)
        if reviewed is None or reviewed.nucleus.mask is not None:
            return False
        point_xy = (reviewed.nucleus.x_px, reviewed.nucleus.y_px)
        return point_xy == placing.point_xy and not _is_outlined_after(placing, state.events)

    def _is_being_drawn(self, uid: UUID) -> bool:
        """Whether a person is drawing the outline just now: theirs comes first."""
        draft = self._view.draft
        return draft is not None and draft.uid == uid

    def _after_draft(self, draft: object) -> None:
        if draft is None:
            self.catch_up()

    def _take(self, asked: Sequence[Placing], masks: Sequence[Mask | None]) -> None:
        self._waiting = {p.uid: p for p in asked if self._is_being_drawn(p.uid)} | self._waiting
        drawn = [
            events.edit_mask(p.image_sha256, p.uid, mask).of_group(p.gesture)
            for p, mask in zip(asked, masks, strict=True)
            if mask is not None and p.uid not in self._waiting and self._lacks_outline(p)
        ]
        self._session.commit(asked[0].image_sha256, drawn)

    def _put_off(self, asked: Sequence[Placing], error: BaseException) -> None:
        """Nobody waits for these outlines: no notice. A server that comes back is asked again."""
        if not isinstance(error, ServerError):
            logger.error("outlines were not drawn", exc_info=error)
            return
        logger.warning("%s outlines were not drawn: %s", len(asked), error)
        if isinstance(error, ServerUnavailableError):
            self._waiting = {placing.uid: placing for placing in asked} | self._waiting

    # What was clicked

    def _take_refined(
        self,
        sha256: str,
        nucleus: Nucleus,
        before: tuple[protocol.PromptPoint, ...],
        clicks: tuple[protocol.PromptPoint, ...],
        drawn: Mask | None,
    ) -> None:
        uid = nucleus.uid
        if self._drawing.get(uid) is not clicks:
            return  # a later click has joined them, and is being answered
        del self._drawing[uid]
        reviewed = self._session.state_of(sha256).nuclei.get(uid)
        if reviewed is None or reviewed.nucleus != nucleus:
            return  # what was clicked on is no longer as it was
        mask = drawn
        if nucleus.mask is not None and drawn is not None:
            mask = nucleus.mask
            for click in clicks[len(before) :]:
                mask = mask.corrected_by(drawn, click.x, click.y, inside=click.positive)
        if mask is None or mask == nucleus.mask or not mask.area_px:
            self._session.notify(
                Notice("The model does not follow that click: the outline is as it was.")
            )
            return
        self._refined.setdefault(uid, []).append(Refined(mask, clicks))
        self._session.commit(sha256, [events.edit_mask(sha256, uid, mask)])

    def _not_refined(self, uid: UUID, error: BaseException) -> None:
        self._drawing.pop(uid, None)
        self._session.notify(in_words(error))


def _is_outlined_after(placing: Placing, journal: Sequence[Event]) -> bool:
    """Whether anything that stands was said of a nucleus' outline after it was placed."""
    undone = groups_taken_back(journal)
    for event in reversed(journal):
        if event.group == placing.gesture:
            return False
        if event.kind == "edit_mask" and event.uid == placing.uid and event.group not in undone:
            return True
    return False
