"""How a person looks at the open image: the tool in hand, what is selected, what is drawn of it.

None of it is kept in the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_nunext.review.correcting import editing
from napari_nunext.review.model import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.model import Tool
    from napari_nunext.review.session import Session


class View:
    """The part of the review that says what is looked at, and how."""

    focus_requested = Signal(float, float)
    """Look at this place: x, y, level-0 px."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._model = session.model

    def choose_tool(self, tool: Tool) -> None:
        """What the mouse does on the image."""
        self._model.tool = tool

    def toggle_tool(self, tool: Tool) -> None:
        """The same, and back to moving the view when it is chosen again."""
        self._model.tool = "look" if self._model.tool == tool else tool

    def select(self, uids: Iterable[UUID]) -> None:
        """Select nuclei of the open image."""
        self._model.selected = frozenset(uids)

    def next_unsure(self, step: int = 1) -> None:
        """Select and look at the next unsure nucleus; -1 for the previous one."""
        state = self._model.state
        if state is None:
            return
        uid = editing.neighbour_in_order(
            state, self._model.sure_above, self._model.only_selected, step
        )
        if uid is None:
            self._session.notify(Notice("No unsure nuclei are left in this field."))
            return
        self.select([uid])
        nucleus = state.nuclei[uid].nucleus
        self.focus_requested.emit(nucleus.x_px, nucleus.y_px)

    def set_sure_above(self, confidence: float) -> None:
        """Confidence from which a nucleus counts as sure."""
        self._model.sure_above = confidence

    def set_region(self, region: Box | None) -> None:
        """The region that is drawn, level-0 px; None for none."""
        self._model.region = region

    def show_points(self, shown: bool) -> None:
        """Whether the nuclei's points are shown."""
        self._model.points = shown

    def show_outlines(self, shown: bool) -> None:
        """Whether outlines are shown, and asked for when nuclei are searched."""
        self._model.outlines = shown

    def set_opacity(self, opacity: float) -> None:
        """Opacity of points and outlines, from 0 to 1."""
        self._model.opacity = opacity
