"""How a person looks at the open image: the tool in hand, what is selected, what is drawn of it.

None of it is kept in the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_nunext.core.scores.calibration import CALIBRATED, CONFIDENCE
from napari_nunext.review.correcting import editing
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.view import SURE_ABOVE, SURE_CALIBRATED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.view import Held, Tool, ViewModel
    from napari_nunext.store import FieldState


_USUAL = (SURE_ABOVE, SURE_CALIBRATED)


class View:
    """The part of the review that says what is looked at, and how.

    Parameters
    ----------
    session : Session
    model : ViewModel
        What the panels and the canvas show of it.
    """

    focus_requested = Signal(float, float)
    """Look at this place: x, y, level-0 px."""

    def __init__(self, session: Session, model: ViewModel) -> None:
        self._session = session
        self.model = model
        self._review = session.model
        self._review.events.state.connect(self._drop_what_is_gone)
        self._review.events.state.connect(self._suit)

    def _drop_what_is_gone(self, state: FieldState | None) -> None:
        """Select nothing that is no longer there."""
        if state is not None:
            self.model.selected &= state.nuclei.keys()

    def _suit(self, state: FieldState | None) -> None:
        """Call sure what suits the run that is shown, unless somebody has chosen otherwise."""
        if state is None or not state.bases or self.model.sure_above not in _USUAL:
            return
        decoding = state.runs[state.bases[-1].run_id].info.decoding
        self.model.sure_above = _USUAL[decoding.get(CONFIDENCE) == CALIBRATED]

    def choose_tool(self, tool: Tool) -> None:
        """What the mouse does on the image."""
        self.model.tool = tool

    def toggle_tool(self, tool: Tool) -> None:
        """The same, and back to moving the view when it is chosen again."""
        self.model.tool = "look" if self.model.tool == tool else tool

    def select(self, uids: Iterable[UUID]) -> None:
        """Select nuclei of the open image."""
        self.model.selected = frozenset(uids)

    def next_unsure(self, step: int = 1) -> None:
        """Select and look at the next unsure nucleus; -1 for the previous one."""
        state = self._review.state
        if state is None:
            return
        uid = editing.neighbour_in_order(
            state, self.model.sure_above, self.model.only_selected, step
        )
        if uid is None:
            self._session.notify(Notice("No unsure nuclei are left in this field."))
            return
        self.select([uid])
        nucleus = state.nuclei[uid].nucleus
        self.focus_requested.emit(nucleus.x_px, nucleus.y_px)

    def set_sure_above(self, confidence: float) -> None:
        """Confidence from which a nucleus counts as sure."""
        self.model.sure_above = confidence

    def look_from(self, shown: Box) -> None:
        """What the canvas shows now, level-0 px, beyond the image too."""
        self.model.view_xy = (shown.x0 + shown.x1) / 2, (shown.y0 + shown.y1) / 2
        self.model.view_box = shown

    def hold(self, held: Held) -> None:
        """Which nuclei the canvas draws one by one."""
        self.model.held = held

    def set_region(self, region: Box | None) -> None:
        """The region that is drawn, level-0 px; None for none."""
        self.model.region = region

    def show_points(self, shown: bool) -> None:
        """Whether the nuclei's points are shown."""
        self.model.points = shown

    def show_outlines(self, shown: bool) -> None:
        """Whether outlines are shown, and asked for when nuclei are searched."""
        self.model.outlines = shown

    def set_opacity(self, opacity: float) -> None:
        """Opacity of points and outlines, from 0 to 1."""
        self.model.opacity = opacity
