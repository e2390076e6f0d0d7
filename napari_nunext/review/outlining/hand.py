"""Outlines that a person draws where clicks do not follow: strokes of a brush, and polygons.

What is being drawn is a draft: it is seen, and in no journal. A stroke ends when the brush is
lifted, a polygon when it is closed; then it becomes one gesture, or it is said why not. A polygon
that cannot be meant as it was drawn stays open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.shapes.painting import NOTHING, joined, segment_of_stroke, without
from napari_nunext.review.correcting import editing
from napari_nunext.review.drafts import Draft
from napari_nunext.review.model import Notice
from napari_nunext.review.outlining.redrawing import Redrawing, Redrawn, outlined_by, room_for

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import OutlineWay, ViewModel

    Place = tuple[float, float]

REACH_UM = 2.0
"""From a nucleus' point: where a click means it that has no outline."""
SMALLEST_UM, LARGEST_UM = 0.5, 40.0
"""Diameters of the brush."""
STEP = 1.25
"""By how much a larger brush is larger."""
CHOOSE_FIRST = "Click on a nucleus first, then correct its outline."
GONE = "The nucleus is no longer there: nothing was drawn."
GIVEN_UP = "The polygon that was begun was given up."


class Hand:
    """The part of the review that draws outlines as a person's hand moves.

    Parameters
    ----------
    session : Session
    view : ViewModel
        Has the tool in hand, what is selected and what is being drawn.
    """

    def __init__(self, session: Session, view: ViewModel) -> None:
        self._session = session
        self._review = session.model
        self._view = view
        self._images = session.images
        news = view.events
        for event in (self._images.events.open_field, news.tool, news.outline_way):
            event.connect(self._leave)

    @property
    def is_drawing(self) -> bool:
        """Whether a stroke or a polygon was begun."""
        return self._view.draft is not None

    # What is in the hand

    def take(self, way: OutlineWay) -> None:
        """Correct outlines in this way from now on."""
        self._view.outline_way = way
        self._view.tool = "outline"

    def toggle(self, way: OutlineWay) -> None:
        """The same, and back to moving the view when it is chosen again."""
        if self._view.tool == "outline" and self._view.outline_way == way:
            self._view.tool = "look"
        else:
            self.take(way)

    def resize_brush(self, steps: int) -> None:
        """Take a larger brush, or a smaller one."""
        wanted = round(self._view.brush_um * STEP**steps, 2)
        self._view.brush_um = min(max(wanted, SMALLEST_UM), LARGEST_UM)

    # Which nucleus is meant

    def nucleus_at(self, x_px: float, y_px: float) -> UUID | None:
        """The nucleus of the open image that a click there means."""
        field, state = self._images.open_field, self._review.state
        if field is None or state is None:
            return None
        return editing.nucleus_at(state, x_px, y_px, REACH_UM / field.entry.mpp)

    def selects(self, x_px: float, y_px: float) -> bool:
        """Select another nucleus than the selected one, if a click there means it."""
        there = self.nucleus_at(x_px, y_px)
        if there is None or there == self._view.only_selected:
            return False
        self._view.selected = frozenset({there})
        return True

    def _nucleus(self, uid: UUID | None) -> Nucleus | None:
        state = self._review.state
        reviewed = None if state is None or uid is None else state.nuclei.get(uid)
        return None if reviewed is None else reviewed.nucleus

    # The brush

    def press(self, x_px: float, y_px: float, *, erases: bool) -> None:
        """Begin a stroke on the selected nucleus; where none is selected, on the one that is there.

        The eraser never selects.
        """
        self.give_up()
        none_selected = self._view.only_selected is None
        chose = none_selected and not erases and self.selects(x_px, y_px)
        field, nucleus = self._images.open_field, self._nucleus(self._view.only_selected)
        if field is None or nucleus is None:
            self._tell(CHOOSE_FIRST)
            return
        draft = Draft(
            image_sha256=field.entry.sha256,
            uid=nucleus.uid,
            kind="erasing" if erases else "painting",
            mask=nucleus.mask or NOTHING,
            room=room_for(nucleus, field.box),
            places_xy=((x_px, y_px),),
            chose=chose,
        )
        self._view.draft = self._painted_on(draft, (x_px, y_px), field)

    def move(self, x_px: float, y_px: float) -> None:
        """Go on with the stroke."""
        field, draft = self._images.open_field, self._view.draft
        if field is not None and draft is not None and draft.kind != "polygon":
            self._view.draft = self._painted_on(draft, (x_px, y_px), field)

    def _painted_on(self, draft: Draft, here: Place, field: OpenField) -> Draft:
        radius_px = self._view.brush_um / 2 / field.entry.mpp
        passed = segment_of_stroke(draft.places_xy[-1], here, radius_px, draft.room)
        change = joined if draft.kind == "painting" else without
        return replace(
            draft,
            mask=change(draft.mask, passed),
            stroke=joined(draft.stroke, passed),
            places_xy=(here,),
        )

    def lift(self, *, clicked: bool) -> None:
        """End the stroke. A mere click on a nucleus that was not selected selects it, no more."""
        draft = self._view.draft
        if draft is None or draft.kind == "polygon":
            return
        self._view.draft = None
        may_select = clicked and draft.kind == "painting"
        if may_select and (draft.chose or self.selects(*draft.places_xy[-1])):
            return
        redrawing = self._redrawing(draft)
        if redrawing is not None:
            change = redrawing.painted if draft.kind == "painting" else redrawing.erased
            self._keep(draft, change(draft.stroke))

    # The polygon

    def put_corner(self, x_px: float, y_px: float) -> None:
        """Put the next corner of a polygon; a first one on another nucleus selects that."""
        field, draft = self._images.open_field, self._view.draft
        if field is None or (draft is None and self.selects(x_px, y_px)):
            return
        if draft is None:
            nucleus = self._nucleus(self._view.only_selected)
            if nucleus is None:
                self._tell(CHOOSE_FIRST)
                return
            draft = Draft(field.entry.sha256, nucleus.uid, "polygon", NOTHING, field.box)
        here = (x_px, y_px)
        if here not in draft.places_xy[-1:]:
            self._view.draft = self._with_corners(draft, (*draft.places_xy, here))

    def hover(self, x_px: float, y_px: float) -> None:
        """Show the polygon as it would be with a corner there."""
        draft = self._view.draft
        if draft is not None and draft.kind == "polygon":
            mask = outlined_by((*draft.places_xy, (x_px, y_px)), draft.room)
            self._view.draft = replace(draft, mask=mask)

    def _with_corners(self, draft: Draft, corners: tuple[Place, ...]) -> Draft:
        return replace(draft, mask=outlined_by(corners, draft.room), places_xy=corners)

    # Its end

    def finish(self) -> bool:
        """Make what is being drawn the outline; False where nothing is.

        A polygon that cannot be meant stays open.
        """
        draft = self._view.draft
        if draft is None:
            return False
        if draft.kind != "polygon":
            self.lift(clicked=False)
            return True
        redrawing = self._redrawing(draft)
        made = None if redrawing is None else redrawing.enclosed(draft.places_xy)
        if made is None or not made.refused:
            self._view.draft = None
        if made is not None:
            self._keep(draft, made)
        return True

    def take_back(self) -> bool:
        """Take back the last corner, or the stroke; False where nothing is being drawn."""
        draft = self._view.draft
        if draft is None:
            return False
        left = draft.places_xy[:-1]
        self._view.draft = self._with_corners(draft, left) if left else None
        return True

    def give_up(self) -> bool:
        """Draw nothing; False where nothing was being drawn."""
        was_drawing = self.is_drawing
        self._view.draft = None
        return was_drawing

    def _leave(self) -> None:
        """Another image, or another tool: what was begun has no end any more."""
        field, draft = self._images.open_field, self._view.draft
        if draft is None:
            return
        way = "polygon" if draft.kind == "polygon" else "brush"
        is_same = field is not None and field.entry.sha256 == draft.image_sha256
        if is_same and self._view.tool == "outline" and self._view.outline_way == way:
            return
        self._view.draft = None
        if draft.kind == "polygon":
            self._tell(GIVEN_UP)

    def _redrawing(self, draft: Draft) -> Redrawing | None:
        """The nucleus as it stands now; None where it is gone, which is said."""
        field, nucleus = self._images.open_field, self._nucleus(draft.uid)
        if field is None or nucleus is None:
            self._tell(GONE)
            return None
        return Redrawing(draft.image_sha256, field.box, self._review.table, nucleus)

    def _keep(self, draft: Draft, made: Redrawn) -> None:
        self._session.commit(draft.image_sha256, made.gesture)
        if made.words:
            self._tell(made.words)

    def _tell(self, words: str) -> None:
        self._session.notify(Notice(words))
